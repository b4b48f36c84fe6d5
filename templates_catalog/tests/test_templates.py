"""A few templates of each sort keep the template contract; `test_agreement.py` goes over all of them."""

import pytest
from swift_testing import TemplateContract


@pytest.mark.parametrize("template_name", ["chatml", "llama", "qwen3", "glm4_5", "gemma3_text"])
class TestTemplates(TemplateContract):
    @pytest.fixture(autouse=True)
    def _choose(self, template_name: str) -> None:
        self.name = template_name
