"""Samples from plain documents for language modelling: one row, one text, no chat."""

from dataclasses import dataclass

from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import Part, Sample, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The adapter of rows with a document in one column, as text or as a list of paragraphs."""

    text: str = "text"  # the column
    key: str = "id"  # the column with the row's own id; "" if there is none
    category: str = "text"
    licences: str = ""  # a column with the row's own licences: a text or a list of texts
    tags: tuple[str, ...] = ()  # columns kept as tags, if their value is text

    def __call__(self, row: Row) -> tuple[Sample]:
        """Return the row's one sample."""
        values = row.values
        value = values.get(self.text)
        if isinstance(value, list):
            value = "\n\n".join(v for v in value if isinstance(v, str))
        if not isinstance(value, str):
            raise RowError("field-missing" if value is None else "field-type", self.text)
        if not value or value.isspace():
            raise RowError("text-empty", self.text)
        own = values.get(self.licences) if self.licences else None
        licence = ", ".join(map(str, own)) if isinstance(own, list) else str(own or "")
        sample = row.sample(
            key=values.get(self.key) if self.key else None,
            turns=(Turn(role="assistant", parts=(Part(text=value),)),),
            category=self.category,
            licence=licence,
            tags={
                name: value
                for name in self.tags
                if isinstance(value := values.get(name), str) and value
            },
        )
        return (sample,)
