"""Where a handler's retries and its queue's disagree: one line each, with what to do. Pure.

An item gets no more attempts than its queue allows and no more than its policy allows: the smaller
number holds. The queue's delay holds where the policy names no wait.
"""

from collections.abc import Iterator
from typing import Final

from worker.app.registry import Registered
from worker.engine.delivery.queue_rules import chained, rules_of
from worker.item.retry import Backoff, QueueDecides, RetryPolicy
from worker.openiap.workitem import FAILED, JsonObject

UPDATE: Final = "openiap-worker queues update"


def disagreements(registered: Registered, document: JsonObject) -> Iterator[str]:
    """Say what of a queue's document does not go with its handler.

    Args:
        document: the queue's, from ``mq``.
    """
    queue, rules = registered.queue, rules_of(document)
    if rules is None:
        yield f"{queue}: maxretries or retrydelay is no number; {UPDATE} {queue} --max-retries 3"
        return
    policy, allowed = registered.handler.options.retry, rules.maxretries
    beyond = sorted({n for n in _attempts(policy) if n > allowed}, reverse=True)
    if beyond:
        yield (
            f"{queue}: {registered.name} has Backoff(attempts={beyond[0]}), the queue allows"
            f" {allowed}, and the smaller number holds: {UPDATE} {queue} --max-retries {beyond[0]},"
            f" or attempts={allowed}"
        )
    if rules.retrydelay == 0 and allowed > 1 and _leaves_it_to_the_queue(policy):
        yield (
            f"{queue}: retrydelay is 0, so what fails is tried {allowed} times within a moment:"
            f" {UPDATE} {queue} --retry-delay 30, or retry=Backoff() on {registered.name}"
        )
    if FAILED not in chained(document):
        yield (
            f"{queue}: no failed queue, so what fails for good stays in it as failed; to gather"
            f" such items elsewhere: {UPDATE} {queue} --failed-queue NAME"
        )


def _attempts(policy: RetryPolicy) -> Iterator[int]:
    for rule in (policy.otherwise, *(rule for _, rule in policy.rules)):
        if isinstance(rule, Backoff) and rule.attempts is not None:
            yield rule.attempts


def _leaves_it_to_the_queue(policy: RetryPolicy) -> bool:
    rules = (policy.otherwise, *(rule for _, rule in policy.rules))
    return any(isinstance(rule, QueueDecides) for rule in rules)
