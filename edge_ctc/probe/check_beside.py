"""A profile proven on a run, beyond its images: the table, and what the shipped checkpoints would take."""

import statistics
from collections.abc import Iterator, Mapping

from edge_ctc.checkpoint import read_description, shipped_checkpoints
from edge_ctc.errors import ConfigError, NotARunError
from edge_ctc.exports.profile import Profile
from edge_ctc.exports.run_table import RunTable, read_run_table
from edge_ctc.exports.runs import Run
from edge_ctc.preprocess import InputSpec, check_fit
from edge_ctc.probe.findings import Finding, Verdict, few
from edge_ctc.probe.tally import Form, Tally


def table_findings(run: Run, profile: Profile) -> Iterator[Finding]:
    """The table: whether it is there, which rows are cells, what each feature holds."""
    if profile.table is None:
        yield Finding("table", Verdict.NOTE, "the profile declares none")
        return
    try:
        table = read_run_table(run, profile)
    except NotARunError as error:
        yield Finding("table", Verdict.FAULT, str(error))
        return
    if table.problem:
        yield Finding("table", Verdict.FAULT, table.problem)
    elif table.sha256 is None:
        yield Finding("table", Verdict.NOTE, f"no file {profile.table.file}")
    else:
        yield from _rows(run, profile, table)


def _rows(run: Run, profile: Profile, table: RunTable) -> Iterator[Finding]:
    without = list(table.without_images)
    unlisted = [cell.cell_id for cell in run.cells if cell.cell_id not in table.rows]
    joined = len(table.rows) - len(without)
    more = [f"{len(unlisted)} cells are not in the table: {few(unlisted)}"] if unlisted else []
    yield Finding(
        "table", Verdict.NOTE if more else Verdict.OK, f"{run.tables[0].name}: {joined} rows are cells", tuple(more)
    )
    if without:
        yield Finding("expected cells", Verdict.FAULT, f"{len(without)} rows without images: {few(without)}")
    for place, column in enumerate(profile.table.features if profile.table else ()):
        values = [row.features[place] for row in table.rows.values()]
        numbers = [value for value in values if value is not None]
        said = (
            f"{min(numbers):g} / {statistics.median(numbers):g} / {max(numbers):g}" if numbers else "blank throughout"
        )
        blanks = len(values) - len(numbers)
        yield Finding(f"feature {column}", Verdict.OK, f"{said} (min / median / max), {blanks} blank")


def checkpoint_finding(name: str, found: Tally, profile: Profile) -> Finding:
    """How many cells a shipped checkpoint would take."""
    spec = read_description(shipped_checkpoints() / name).input
    why = _misfit(spec, profile)
    taken = 0 if why else sum(_takes(spec, cell.forms, bool(cell.ambiguous)) for cell in found.cells)
    said = f"takes {taken} of {len(found.cells)} cells ({', '.join(spec.channel_names)}, {spec.dtype})"
    return Finding(
        f"checkpoint {name}", Verdict.OK if taken == len(found.cells) else Verdict.NOTE, said, (why,) if why else ()
    )


def _misfit(spec: InputSpec, profile: Profile) -> str:
    lacking = [name for name in spec.channel_names if name not in profile.channel_names]
    if lacking:
        return f"no channel of the profile is named {', '.join(lacking)}"
    if spec.intensity != profile.intensity:
        return f"learned from {spec.intensity}, the profile says {profile.intensity}"
    try:
        check_fit(spec, profile.pixel_size_um, profile.bits)
    except ConfigError as error:
        return str(error)
    return ""


def _takes(spec: InputSpec, forms: Mapping[str, Form], is_ambiguous: bool) -> bool:
    wanted = [forms.get(name) for name in spec.channel_names]
    sizes = {form[0] for form in wanted if form is not None}
    return not is_ambiguous and len(sizes) == 1 and all(form is not None and form[1] == spec.dtype for form in wanted)
