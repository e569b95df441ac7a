"""``/livez`` tells the truth about a blocked loop, from outside the loop."""

from pathlib import Path

import httpx

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import PATIENT, Stage


@both_clients
async def test_livez_is_red_while_a_handler_blocks_the_loop_and_names_it(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        port, end = stage.port(), tmp_path / "end"
        await outsider.queue("blocking", maxretries=3)
        worker = stage.worker("a", "blocking", health_port=port, **PATIENT)
        await worker.started()
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT) as http:
            url = f"http://127.0.0.1:{port}/livez"
            seen: list[httpx.Response] = []

            async def answers(status: int) -> bool:
                seen.append(await http.get(url))
                return seen[-1].status_code == status

            await until("it is green", lambda: answers(200), WAIT, tell=worker.tail)
            pushed = await outsider.push("blocking", [{"until": str(end)}])
            await until("the handler runs", lambda: bool(stage.journal.notes("start")), WAIT)
            # It blocks until there is the file: whoever does not notice that never does.
            await until("it is red", lambda: answers(503), WAIT, every=0.1, tell=worker.tail)
            assert "deeds.blocking" in seen[-1].text
            assert pushed[0] in seen[-1].text
            assert "in sit_out" in seen[-1].text
            end.touch()
            await until("it is green again", lambda: answers(200), WAIT, tell=worker.tail)
        assert (await stage.settled("blocking", pushed)).runs == (1,)
