"""The corpus of bad files and folders: each with a name, how it is made, and what must be said of it."""

from tests.corpus import bmps, disguises, folders, montages, names, pages, pngs, texts, tiffs, workbooks
from tests.corpus.case import Case

CASES: tuple[Case, ...] = (
    *tiffs.CASES,
    *pages.CASES,
    *pngs.CASES,
    *bmps.CASES,
    *disguises.CASES,
    *montages.CASES,
    *names.CASES,
    *folders.CASES,
    *texts.CASES,
    *workbooks.CASES,
)
