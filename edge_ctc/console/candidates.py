"""The top candidates of a run as a table, and their comparison with known labels."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_ctc.console.lines import say
from edge_ctc.exports.listing import display_name
from edge_ctc.gallery.candidates import Candidates
from edge_ctc.truth import Comparison


def print_candidates(candidates: Candidates) -> None:
    """The candidates as a table."""
    say(candidates.manifest.intended_use)
    title = Text(f"Top candidates of {candidates.manifest.run_id}")
    table = Table(title=title, title_justify="left")
    for column in ("rank", "cell", "cage", "verdict", "p_ctc", "score", "flags"):
        table.add_column(column, justify="right" if column in ("rank", "p_ctc", "score") else "left")
    for feature in candidates.features:
        table.add_column(Text(feature), justify="right")
    for candidate in candidates.cells:
        call = candidate.call
        probability = "" if call.p_ctc is None else f"{call.p_ctc:.3f}"
        flags = " ".join(call.flags)
        features = ["" if value is None else f"{value:g}" for value in candidate.features]
        cage = f"{call.cage_row}/{call.cage_col}" if call.cage_row or call.cage_col else ""
        # Text, since square brackets in a plain string are markup to rich, and would vanish from an id.
        names = Text(call.cell_id), Text(display_name(cage))
        table.add_row(str(candidate.rank), *names, call.verdict, probability, f"{call.score:.2f}", flags, *features)
    Console().print(table)


def print_truth(comparison: Comparison) -> None:
    """The comparison with known labels, in one line."""
    f1 = "no CTC and none called" if comparison.f1 is None else f"F1 {comparison.f1:.3f}"
    say(
        f"truth: {comparison.ctcs} CTC in the run, {comparison.found} called CTC, {comparison.in_review} in REVIEW, "
        f"{comparison.ctcs - comparison.found - comparison.in_review} missed; "
        f"{comparison.false_calls} other cells called CTC; {f1}"
    )
