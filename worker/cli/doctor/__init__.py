"""``doctor``: is everything there that a worker needs?"""
