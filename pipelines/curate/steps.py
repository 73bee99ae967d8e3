"""Runs the steps of curation, each in a folder of its own: `dedup/<step>/<corpus>`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from smolmix.engine.run import run_stage
from smolmix.engine.stage import IN_THIS_PROCESS, P, RunOptions, Stage, Unit
from smolmix.storage import Folder
from smolmix.workspace import Workspace

WORK = "dedup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Where the steps keep their files, and how they run."""

    workspace: Workspace
    work: str = WORK  # folder in the workspace; a comparison of policies has one for each
    options: RunOptions = IN_THIS_PROCESS

    def folder(self, step: str, name: str) -> Folder:
        """Return the folder of a step; it need not exist."""
        return self.workspace.child(self.work, step, name)

    def shared(self) -> "Steps":
        """Return the steps whose results all policies may use."""
        return replace(self, work=WORK)

    def run(
        self,
        stage: Stage[P],
        units: Sequence[Unit[P]],
        name: str,
        info: Mapping[str, object] | None = None,
    ) -> Folder:
        """Run one step and return its folder.

        A single unit runs in this process, unless it counts its rows and so may be bisected:
        starting Ray would take longer.
        """
        folder, options = self.folder(stage.name, name), self.options
        if len(units) <= 1 and stage.count_rows is None:
            options = replace(options, workers=0)
        run_stage(stage, units, folder=folder, options=options, info=info)
        return folder
