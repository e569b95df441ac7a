"""Both clients, under virtual time, as for schedules."""

from tests.integration.engine.scheduler.conftest import openiap_client, patient

__all__ = ["openiap_client", "patient"]
