"""What a value is, in sentences."""

from worker.kinds import kind_of, with_article


def test_kinds_have_the_article_that_is_spoken() -> None:
    assert (kind_of(1), kind_of({}), kind_of(object())) == ("an int", "a dict", "an object")
    for name, told in {"UUID": "a UUID", "Union": "a Union", "Unset": "an Unset"}.items():
        assert with_article(name) == told
