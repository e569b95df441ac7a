"""A document of contracts comes from a file that anybody may have written."""

import pytest

from tests.cases import each
from worker.app.contracts import FORMAT, Contracts
from worker.item.push import ContractError


@each(
    "contract, said",
    [
        (5, "The contract of q is '5'; allowed: an object."),
        ({"signals": [1]}, "The contract of q: signals is '[1]'; allowed: an object."),
        ({"files": "*.pdf"}, "The contract of q: files is '*.pdf'; allowed: a list."),
        (
            {"signals": {"a": 5}},
            "The contract of q, signal a is no JSON Schema: 5 is not of type 'object', 'boolean'.",
        ),
    ],
)
def test_a_contract_that_is_none_is_refused_in_a_sentence(contract: object, said: str) -> None:
    with pytest.raises(ContractError) as refused:
        Contracts({"contracts": FORMAT, "queues": {"q": contract}})
    assert str(refused.value) == said
