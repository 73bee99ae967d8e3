"""What mixtures know of corpora, without importing their adapters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smolmix.config import located
from smolmix.errors import UsageError, nearest
from smolmix.mixtures.spec.load import Reading
from smolmix.mixtures.spec.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRow:
    """One corpus in the catalogue."""

    id: str
    modality: str = ""
    role: str = ""  # "benchmark": never in a mixture
    licence: str = ""
    gated: bool = False
    rows: int | None = None
    revision: str = ""
    verified: bool = True
    bytes_on_disk: int | None = None
    subsets: Mapping[str, int | None] = field(default_factory=dict)  # subset -> rows

    def samples(self, subset: Sequence[str]) -> int | None:
        """Return the declared rows of these subsets, or of the corpus where none is named."""
        if not subset:
            return self.rows
        rows = [self.subsets.get(name) for name in subset]
        known = [r for r in rows if r is not None]
        return sum(known) if len(known) == len(rows) else None


Catalogue = Mapping[str, CatalogueRow]


def check_corpora(spec: Spec, catalogue: Catalogue, where: str) -> None:
    """Refuse corpora that are unknown, and benchmarks.

    Raises:
        UsageError: one line for each error.
    """
    errors = []
    for name, component in spec.components.items():
        if component.unpublished:
            continue
        row = catalogue.get(component.corpus)
        at = located(where, ("components", name, "corpus"))
        at = f"{at}: components.{name}.corpus is {component.corpus!r}"
        if row is None:
            errors.append(
                f"{at}; no such corpus; smolmix corpora lists them"
                f"{nearest(component.corpus, catalogue)}"
            )
        elif row.role == "benchmark":
            errors.append(f"{at}; a benchmark is never trained on; remove the component")
    if errors:
        raise UsageError("\n".join(errors))


def check_gated(spec: Spec, catalogue: Catalogue, fetched: set[str], where: str) -> None:
    """Refuse gated corpora that are not fetched.

    Raises:
        UsageError: one line for each.
    """
    errors = [
        f"{located(where, ('components', name, 'corpus'))}: components.{name}.corpus is "
        f"{c.corpus!r}, which is gated and was not fetched; "
        f"accept its terms on the hub, then run smolmix fetch {c.corpus}"
        for name, c in spec.components.items()
        if not c.unpublished
        and c.corpus in catalogue
        and catalogue[c.corpus].gated
        and c.corpus not in fetched
    ]
    if errors:
        raise UsageError("\n".join(errors))


def published(spec: Spec) -> list[str]:
    """Return the components whose data are public."""
    return [name for name, c in spec.components.items() if not c.unpublished]


def corpora_of(spec: Spec) -> list[str]:
    """Return the corpora that a build of the spec reads."""
    return sorted({spec.components[name].corpus for name in published(spec)})


def check_published(reading: Reading) -> None:
    """Refuse a mixture with components whose data was never published.

    Raises:
        UsageError: one line for each, with the reason.
    """
    components = reading.spec.components.items()
    missing = [f"  {name}: {c.unpublished}" for name, c in components if c.unpublished]
    if missing:
        raise UsageError(
            f"{reading.path}: {len(missing)} components were never published:\n"
            + "\n".join(missing)
            + "\n--partial builds the mixture without them"
        )
