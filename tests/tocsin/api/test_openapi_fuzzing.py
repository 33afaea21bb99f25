"""Requests made up from the OpenAPI document: whatever comes, no answer is a fault of ours and all have the form promised."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow
EXAMPLES = 25
