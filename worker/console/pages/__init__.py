"""The pages, a file each; ``worker/console/app.py`` lists them."""
