"""Every route by its own description: no answer is a 5xx, and each is as it is described.

Schemathesis makes the requests; those that change things find a queue of their own, so the rest of
the server stays as it is.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import CHECKS

from tests.integration.management.api.stage import PREFIX, ApiStage, api_on
from tests.integration.management.failures import ORDINARY, PASSWORD, four_failures
from worker.management.api.options import Limits
from worker.testing.local_openiap import LocalOpenIAP

pytestmark = pytest.mark.dear
EXAMPLES = 12
PLENTY = Limits(calls=1e6, burst=10**6, sign_ins_per_address=10**6, jobs=10**3, jobs_of_user=10**3)
