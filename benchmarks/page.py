"""Parts of a page that benchmarks write, between marks that a reader of the page does not see."""


def placed(page: str, text: str, mark: str) -> str:
    """The page with the text between the two marks and everything else as it was."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    head, first, rest = page.partition(begin)
    _, last, tail = rest.partition(end)
    if not (first and last):
        raise SystemExit(f"the page has no place for this part; put {begin} and {end} where it is to stand")
    return f"{head}{begin}\n{text}\n{end}{tail}"
