"""What a package's ``main.py`` starts inside an OpenIAP agent: the worker, and little output."""

import sys
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_state_path

from worker._version import __version__
from worker.app.registry import load_modules
from worker.cli.package.agent_settings import agent_overrides
from worker.cli.shared.client import run_async
from worker.cli.shared.errors import explain
from worker.engine.daemon import Daemon
from worker.runloop import Restart
from worker.settings import Settings, load
from worker.telemetry.printed import Printed


def main(name: str, handlers: Sequence[str]) -> int:
    """Work until the agent says stop, or, with ``SF_VMID``, until the queues are empty.

    Args:
        name: the package's name.
        handlers: the modules that hold its handlers, unless the settings name others.

    Returns:
        The exit code; every error was told in one line on stderr.
    """
    restart = Restart()
    printed = Printed()
    printed.start()
    try:
        settings = agent_settings(name, handlers)
        daemon = Daemon(
            settings,
            load_modules(settings.handlers),
            version=__version__,
            modules=settings.handlers,
        )
        printed.use(daemon.telemetry.log)
        code = run_async(daemon.run(), busy=True)
    except Exception as error:  # an agent's log is all there is: one line, whatever it was
        problem = explain(error)
        sys.stderr.write(f"{name}: {problem.text}\n")
        return problem.code
    finally:
        printed.stop()
    restart.after(code, settings.lost_slots)
    return code


def agent_settings(name: str, handlers: Sequence[str]) -> Settings:
    """Return the settings that fit an agent.

    Raises:
        SettingsError: an unknown or invalid setting.
    """
    overrides = agent_overrides(
        load(), name, handlers, working=Path.cwd(), state=user_state_path("openiap-worker")
    )
    return load(overrides).settings
