"""The profile and the small workspace that these tests tokenize."""

from tests.support.tokenized import filled as filled
from tests.support.tokenized import nano as nano
from tests.support.tokenized import tokenized as tokenized
