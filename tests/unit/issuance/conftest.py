"""One linter process for a whole module: loading its rules takes a second."""

import pytest_asyncio

from acme_ra.issuance.lint import Linter


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def linter():
    made = Linter()
    await made.start()
    yield made
    await made.close()
