"""What the local server refuses, as exceptions whose text travels to the client."""


class RefusedError(Exception):
    """The command is refused; nothing that it wrote stays. The text is what the client reads."""


class RefusedAfterChangeError(RefusedError):
    """The client gets an error although the change stays: OpenIAP does so for broken chains."""
