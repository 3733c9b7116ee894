"""A tool with a side effect runs once per key, whoever asks again: the second caller gets the first one's result."""

import tempfile

from joch_core import Joch, tool

SENT: list[str] = []


@tool(effect="communication", repeat="per_epoch")
def send_email(to: str, subject: str) -> dict[str, str]:
    """Send an e-mail."""
    SENT.append(to)
    return {"status": "sent", "to": to, "subject": subject}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Joch(store=f"sqlite:///{folder}/joch.db") as joch:
        guard = joch.guard(conversation="conv-99")
        first = guard.run(send_email, {"to": "ann@example.org", "subject": "Prices"}, call_id="c00000001")
        again = guard.run(send_email, {"to": "ann@example.org", "subject": "Prices"}, call_id="c00000002")
        print(
            "sent",
            len(SENT),
            "e-mail; the repeat was",
            "already done" if again.deduplicated else "run",
            first.value == again.value,
        )
        for call in joch.calls():
            print(call["spec"]["toolRef"]["name"], call["status"]["phase"])


main()
