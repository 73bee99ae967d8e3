"""The functions of `import smolmix`: one for each step of the pipeline, as the verbs run it.

Each opens its workspace from a path or URL, imports what it needs when it is called, and runs in
this process and prints nothing unless `options` says otherwise.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smolmix.errors import UsageError

if TYPE_CHECKING:
    from smolmix.engine.stage import RunOptions
    from smolmix.mixtures.plan.plan import Plan
    from smolmix.mixtures.selection.lock import Lock
    from smolmix.mixtures.spec.catalogue import Catalogue
    from smolmix.mixtures.spec.load import Reading
    from smolmix.model.eval.load import Opened
    from smolmix.model.train.recipe import Recipe
    from smolmix.model.train.train import Trained
    from smolmix.pipelines.curate.waterfall import Waterfall
    from smolmix.pipelines.fetch.run import Fetched
    from smolmix.pipelines.pretokenize.run import Tokenized
    from smolmix.pipelines.sources.source import Source
    from smolmix.sample import Sample
    from smolmix.workspace import Workspace


def read_catalogue(path: str | Path) -> "dict[str, Source]":
    """Return the corpora that a catalogue file describes, by id.

    Args:
        path: a YAML file with a list `corpora`; docs/your-own-data.md has its keys.

    Raises:
        UsageError: the file cannot be read, or a key or value in it is not allowed.
    """
    from smolmix.pipelines.sources.catalogue import read_catalogue

    return read_catalogue(str(path))


def register_corpus(source: "Source") -> None:
    """Add a corpus to the catalogue of this process.

    Ray workers are other processes and do not see it: call the steps without workers, or add the
    adapter to `pipelines/corpora` as CONTRIBUTING.md shows.

    Args:
        source: where its files are, their format, and `adapt`, which turns a row into samples.

    Raises:
        UsageError: there is already another corpus of that id.
    """
    from smolmix.pipelines.corpora import SOURCES

    if SOURCES.get(source.id, source) is not source:
        raise UsageError(f"corpus {source.id!r}: the catalogue has one of that id; choose another")
    SOURCES[source.id] = source


def fetch_corpus(
    corpus: "str | Source", workspace: "str | Workspace", *, max_rows: int | None = None
) -> "Fetched":
    """Download a corpus into `raw/<corpus>`, or what is missing of it; return its files and sizes.

    Args:
        corpus: an id of the catalogue, or an entry of your own from `read_catalogue`.
        workspace: a folder or fsspec URL.
        max_rows: download files until they hold this many rows.

    Raises:
        UsageError: the corpus is unknown, gated or cannot be fetched.
        DataError: the publisher cannot be reached, or the disk is too small.
    """
    from smolmix.pipelines.fetch.run import FetchOptions, fetch
    from smolmix.pipelines.fetch.scope import Scope

    place = _opened(workspace)
    return fetch(_source(corpus, place), place, FetchOptions(scope=Scope(limit=max_rows)))


def curate_corpus(
    corpus: "str | Source",
    workspace: "str | Workspace",
    *,
    policy: str = "default",
    options: "RunOptions | None" = None,
) -> "Waterfall":
    """Measure, filter, deduplicate and decontaminate a fetched corpus into `curated/<corpus>`.

    Args:
        corpus: an id, or an entry of your own.
        workspace: a folder or fsspec URL.
        policy: a policy's name or YAML file.
        options: workers, and how much is printed.

    Returns:
        How many rows came in, how many samples were dropped for which reason, and how many were
        kept.

    Raises:
        UsageError: the corpus or policy is unknown.
        IncompleteError: the corpus is not fetched.
    """
    from smolmix.pipelines.curate import policy as policies
    from smolmix.pipelines.curate.run import curate_corpus
    from smolmix.pipelines.curate.waterfall import waterfall

    place = _opened(workspace)
    source = _source(corpus, place)
    curate_corpus(source, policies.load(policy), place, options=_options(options))
    return waterfall(place, source.id)


def read_samples(corpus: str, workspace: "str | Workspace") -> "Iterator[Sample]":
    """Yield the samples of a curated corpus in their order, without the bytes of their media.

    Args:
        corpus: its id.
        workspace: a folder or fsspec URL.

    Raises:
        IncompleteError: the corpus is not curated.
    """
    from smolmix import curated

    yield from curated.read_samples(_opened(workspace).curated(corpus))


def read_spec(spec: str | Path) -> "Reading":
    """Return the mixture that a YAML file describes, checked.

    Args:
        spec: the file, or the name of a mixture that ships, such as `starter`.

    Raises:
        UsageError: the file is missing, is not YAML, or does not describe a mixture.
    """
    from smolmix.mixtures.spec.load import read_spec

    return read_spec(spec)


def plan_mixture(
    spec: "str | Path | Reading",
    workspace: "str | Workspace | None" = None,
    *,
    count: bool = False,
    declared_counts: str | Path | None = None,
    options: "RunOptions | None" = None,
) -> "Plan":
    """Solve a mixture and return what it would contain; no data is needed.

    Components whose corpora are curated and counted in the workspace are planned on these counts,
    others on declared ones. The plan marks each number as counted, declared or assumed.

    Args:
        spec: a mixture's YAML file, the name of one that ships, or what `read_spec` returned.
        workspace: a folder or fsspec URL; without one, all counts are declared.
        count: first count the tokens of curated corpora that have not been counted.
        declared_counts: a CSV file of counts that replace those declared in the spec.
        options: workers for counting, and how much is printed.

    Raises:
        UsageError: the spec is wrong or names an unknown corpus.
        InfeasibleError: no mixture satisfies the spec; the conflicting constraints are named.
    """
    from smolmix.mixtures.candidates.declared_sizes import read_counts
    from smolmix.mixtures.plan.plan import make_plan
    from smolmix.mixtures.spec.catalogue import check_corpora, corpora_of

    reading = _reading(spec)
    place = _opened(workspace) if workspace is not None else None
    catalogue = _catalogue(place, corpora_of(reading.spec))
    check_corpora(reading.spec, catalogue, reading.path)
    if count and place is not None:
        _count(reading, place, options)
    return make_plan(
        reading,
        workspace=place if place is not None and place.exists() else None,
        catalogue=catalogue,
        counts=read_counts(Path(declared_counts)) if declared_counts is not None else None,
    )


def build_mixture(
    spec: "str | Path | Reading",
    workspace: "str | Workspace",
    *,
    partial: bool = False,
    options: "RunOptions | None" = None,
) -> "Lock":
    """Solve a mixture over curated corpora and write `mixtures/<name>`; return its lock.

    Args:
        spec: a mixture's YAML file, the name of one that ships, or what `read_spec` returned.
        workspace: a folder or fsspec URL that holds the curated corpora.
        partial: build without the components whose data was never published.
        options: workers for counting tokens, and how much is printed.

    Raises:
        UsageError: the spec is wrong, or names data that was never published.
        IncompleteError: a corpus is not curated.
        InfeasibleError: no mixture satisfies the spec; the conflicting constraints are named.
    """
    from smolmix.mixtures.built.run import build, check_curated
    from smolmix.mixtures.spec.catalogue import check_corpora, check_gated, corpora_of

    reading, place = _reading(spec), _opened(workspace)
    catalogue = _catalogue(place, corpora_of(reading.spec))
    check_corpora(reading.spec, catalogue, reading.path)
    fetched = {*place.corpora("raw"), *place.corpora("curated")}
    check_gated(reading.spec, catalogue, fetched, reading.path)
    check_curated(reading, place)
    _count(reading, place, options)
    return build(reading, place, catalogue=catalogue, partial=partial)


def tokenize_mixture(
    mixture: str,
    workspace: "str | Workspace",
    *,
    sequence_length: int = 8192,
    max_tiles: int | None = None,
    options: "RunOptions | None" = None,
) -> "Tokenized":
    """Write the token ids, tiles and packed sequences of a built mixture.

    Args:
        mixture: the name of a built mixture.
        workspace: a folder or fsspec URL.
        sequence_length: tokens in a packed sequence.
        max_tiles: most tiles in a sequence; 0 is no limit; None spreads them evenly.
        options: workers, and how much is printed.

    Returns:
        The folder of the sequences, for `SequenceDataset`, and their numbers.

    Raises:
        IncompleteError: the mixture is not built, or media of its samples are not fetched.
    """
    from smolmix.mixtures.selection.lock import read_lock
    from smolmix.pipelines.pretokenize.run import tokenize_mixture
    from smolmix.profiles import ProfileChoice

    place = _opened(workspace)
    choice = read_lock(place.mixture(mixture)).spec.get("profile", {})
    return tokenize_mixture(
        place,
        mixture,
        ProfileChoice.model_validate(choice).profile(),
        sequence_length,
        max_tiles,
        options=_options(options),
    )


def train_model(recipe: "str | Path | Recipe", workspace: "str | Workspace") -> "Trained":
    """Train the stages of a recipe in this process; a run that was killed goes on.

    Args:
        recipe: a recipe's YAML file, the name of one that ships, or a `Recipe`.
        workspace: a folder on a local disk that holds the tokenized mixtures.

    Returns:
        The folder of the final checkpoint in transformers' format, and the steps and seconds.

    Raises:
        UsageError: the recipe is wrong, or the run was begun with another one.
        IncompleteError: a mixture is not tokenized.
        LockedError: another process trains the same run.
    """
    from smolmix.engine.lock import locked
    from smolmix.model.train.data import open_stages
    from smolmix.model.train.recipe import Recipe, load_recipe
    from smolmix.model.train.run_record import local_run
    from smolmix.model.train.train import train

    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    place = _opened(workspace)
    folder = place.run(loaded.name)
    run = local_run(folder)
    with locked(folder):
        return train(loaded, run, open_stages(place, loaded))


def load_checkpoint(
    name: str, workspace: "str | Workspace" = "workspace", *, profile: str | None = None
) -> "Opened":
    """Return a model with the profile that its inputs are prepared under.

    Args:
        name: a run of the workspace, a folder in transformers' format, or a hub id.
        workspace: a folder or fsspec URL.
        profile: nano, 256m, 500m or 2.2b, for a checkpoint that smolmix did not write.

    Raises:
        UsageError: there is no such checkpoint, or its profile is not known.
    """
    from smolmix.model.eval.load import open_checkpoint

    return open_checkpoint(name, _opened(workspace), profile)


def generate(
    checkpoint: "Opened",
    prompt: str,
    *,
    images: Sequence[str] = (),
    video: str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
) -> str:
    """Return a checkpoint's answer to a question.

    Args:
        checkpoint: what `load_checkpoint` returned.
        prompt: the question.
        images: image files, shown before the question in this order.
        video: a video file, shown before the question.
        max_new_tokens: most tokens in the answer.
        temperature: 0 always takes the most probable token.

    Raises:
        UsageError: a file does not exist, or images and a video are given together.
        DataError: a file cannot be decoded.
    """
    from smolmix.model.eval.ask import ask

    pieces = ask(
        checkpoint,
        prompt,
        images=images,
        video=video,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
    return "".join(pieces)


def _opened(workspace: "str | Workspace") -> "Workspace":
    from smolmix.workspace import Workspace

    return workspace if isinstance(workspace, Workspace) else Workspace(workspace)


def _options(options: "RunOptions | None") -> "RunOptions":
    from smolmix.engine.stage import RunOptions

    return options or RunOptions(quiet=True)


def _source(corpus: "str | Source", workspace: "Workspace") -> "Source":
    from smolmix.pipelines.corpora import source_of

    return source_of(corpus, workspace) if isinstance(corpus, str) else corpus


def _reading(spec: "str | Path | Reading") -> "Reading":
    return read_spec(spec) if isinstance(spec, str | Path) else spec


def _catalogue(workspace: "Workspace | None", corpora: Iterable[str]) -> "Catalogue":
    """Return the corpora that adapters exist for, and those of the user's own that are fetched."""
    from smolmix.mixtures.spec.catalogue import CatalogueRow
    from smolmix.pipelines.corpora import SOURCES, source_of

    sources = dict(SOURCES)
    own = workspace.corpora("raw") if workspace is not None else ()
    for name in {*corpora, *own} - set(SOURCES):  # own ones that are not used are suggested
        with contextlib.suppress(UsageError):  # check_corpora names the component as well
            sources[name] = source_of(name, workspace)
    return {
        s.id: CatalogueRow(
            id=s.id,
            modality=s.modality,
            role=s.role,
            licence=s.licence,
            gated=bool(s.gated),
            rows=s.rows,
            revision=s.revision,
            verified=s.verified,
            subsets={subset.name: subset.rows for subset in s.subsets},
        )
        for s in sources.values()
    }


def _count(reading: "Reading", workspace: "Workspace", options: "RunOptions | None") -> None:
    """Count the tokens of the spec's curated corpora that are not counted under its profile."""
    from smolmix.mixtures.built.run import spec_profile
    from smolmix.mixtures.spec.catalogue import corpora_of
    from smolmix.pipelines.pretokenize.counts import ensure_counts

    curated = workspace.corpora("curated")
    corpora = [c for c in corpora_of(reading.spec) if c in curated]
    ensure_counts(workspace, corpora, spec_profile(reading.spec), _options(options))
