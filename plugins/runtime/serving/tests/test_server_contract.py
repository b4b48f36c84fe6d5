"""The server of OpenAI's interface keeps the server contract."""

from swift_testing import ServerContract


class TestOpenAI(ServerContract):
    name = "openai"
