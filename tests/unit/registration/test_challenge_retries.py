"""A client that answers a challenge again has the next attempt made at once (RFC 8555 §8.2)."""

import asyncio
from collections import deque
from collections.abc import Callable

import pytest

from acme_ra.core.clock import DAY
from acme_ra.core.objects import Authorization
from acme_ra.core.problems import ConnectionFailed
from acme_ra.registration import validations
from acme_ra.registration.accounts import Requester
from tests.support.ra import RA

NAME = "a.example.test"


async def failing(ra: RA, attempts: int) -> tuple[Requester, str]:
    """An answered challenge whose first attempts fail, the next of which is due in a day."""
    settings = {"validation_backoff": DAY, "validation_backoff_limit": DAY, "inline_validation": 20}
    ra.validations._settings = ra.validations._settings.model_copy(update=settings)
    ra.validation.outcomes[NAME] = deque([ConnectionFailed("refused")] * attempts)
    shop = await ra.requester("shop")
    order = await ra.order(shop, NAME)
    answered = await ra.authorizations.respond(shop, order.authorizations[0], "http-01")
    assert answered.challenges[0].status == "processing"
    await until(ra, lambda: len(ra.validation.calls) == 1)
    return shop, order.authorizations[0]


async def until(ra: RA, happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.01)


async def attempted(ra: RA, shop: Requester, resource_id: str, attempts: int) -> Authorization:
    """The authorization once so many attempts are recorded."""
    async with asyncio.timeout(60):
        while True:
            found = await ra.authorizations.fetch(shop, resource_id)
            if found.challenges[0].attempts >= attempts:
                return found
            await asyncio.sleep(0.01)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validations, "SHORTEST_PAUSE", 0)


@pytest.mark.usefixtures("no_pause")
async def test_a_second_answer_is_a_second_attempt(ra: RA) -> None:
    """The client has mended what was wrong and says so: it does not wait for a day."""
    shop, authorization = await failing(ra, attempts=1)
    told = await attempted(ra, shop, authorization, 1)
    assert told.challenges[0].error is not None

    await ra.authorizations.respond(shop, authorization, "http-01")
    proved = await attempted(ra, shop, authorization, 2)

    assert (proved.status, proved.challenges[0].attempts) == ("valid", 2)


@pytest.mark.usefixtures("no_pause")
async def test_the_attempts_stay_as_few_however_often_a_client_asks(ra: RA) -> None:
    """Nobody makes this server knock at somebody's door for ever: three attempts, then it is over."""
    shop, authorization = await failing(ra, attempts=1000)

    for _ in range(20):
        await ra.authorizations.respond(shop, authorization, "http-01")
    ended = await attempted(ra, shop, authorization, 3)

    assert (ended.status, len(ra.validation.calls)) == ("invalid", 3)


async def test_answers_in_quick_succession_are_one_attempt(ra: RA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts there is a pause, whoever asks."""
    monkeypatch.setattr(validations, "SHORTEST_PAUSE", DAY)
    shop, authorization = await failing(ra, attempts=1000)

    for _ in range(5):
        await ra.authorizations.respond(shop, authorization, "http-01")

    assert len(ra.validation.calls) == 1


async def test_fetching_a_challenge_asks_for_nothing(ra: RA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polling by POST-as-GET makes no attempt."""
    monkeypatch.setattr(validations, "SHORTEST_PAUSE", 0)
    shop, authorization = await failing(ra, attempts=1000)

    for _ in range(5):
        await ra.authorizations.fetch_challenge(shop, authorization, "http-01")
        await asyncio.sleep(0.01)

    assert len(ra.validation.calls) == 1
