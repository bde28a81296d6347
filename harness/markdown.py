"""Parts of a Markdown document: safe text, lines that fit a size, and the cards of the frameworks."""

from __future__ import annotations

from harness import cards


def of_cards(found: list[cards.Card]) -> list[str]:
    """A column a framework: what was measured, then what was looked up, each with its day and source."""
    if not found:
        return []
    titles = " | ".join(escaped(card["title"]) for card in found)
    head = ["", "## Frameworks", "", f"| | {titles} |", "|" + " --- |" * (1 + len(found))]
    body = [
        [what, *(text for _, text in alike)]
        for what, alike in zip((what for what, _ in cards.shown(found[0])), zip(*map(cards.shown, found)))
    ]
    for row in cards.ROWS:
        facts = [card["looked_up"][row] for card in found]
        ends = [f" (looked up {fact['date']}, {fact['source']})" if fact else "" for fact in facts]
        body.append([row, *(cards.texts(fact) + end for fact, end in zip(facts, ends))])
    return [*head, *("| " + " | ".join(map(escaped, row)) + " |" for row in body)]


def fitting(lines: list[str], size: int, rest: str) -> list[str]:
    """The first lines that fit into so many bytes, and how many are left out."""
    used = 100  # room for the line about the rest
    for kept, line in enumerate(lines):
        used += len(line.encode()) + 1
        if used > size:
            return [*lines[:kept], rest.format(len(lines) - kept)]
    return lines


def escaped(text: str) -> str:
    """Text that can't become markup or end a table's cell."""
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(raw, safe)
    return text
