"""New projects: handlers, settings, tests and an image, made from templates."""

from worker.cli.new.project import NameRefused, Project, make_project

__all__ = ["NameRefused", "Project", "make_project"]
