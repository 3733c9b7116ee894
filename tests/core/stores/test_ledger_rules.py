"""Any course of a conversation: how often each effect happens follows from what the user asked for, and from nothing else.

In one turn of the user, the same call happens as often as it stands in the one assistant turn that holds it most often: what
comes again later, after a switch, a crash or a resume, under old or new ids, is the same call again.
"""

from collections import Counter
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joch_core.messages import Message, ToolCall, message_to_json
from joch_core.resources.commits import Commit
from joch_core.resources.events import Draft, conversation_log
from joch_core.resources.tools import tool
from joch_core.stores import open_store
from joch_core.stores.ledger import Guard

NS = "default"

assistant_turn = st.tuples(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=3),  # the calls of one assistant message
    st.sampled_from(["", "ProviderSwitched", "HistoryRewritten"]),  # what comes before it
    st.integers(0, 2),  # how often the framework runs these very calls once more
    st.booleans(),  # another process takes over
)
user_turn = st.lists(assistant_turn, min_size=1, max_size=4)


class World:
    def __init__(self):
        self.store = open_store("sqlite:///:memory:")
        self.effects, self.ids = Counter(), 0

    def note(self, type_, payload):
        self.store.commit(NS, Commit(conversation_log("conv"), (Draft(type_, payload),)), datetime.now(UTC))

    def say(self, message):
        self.note("MessageAdded", {"message": message_to_json(message)})

    def boundary(self, type_):
        facts = {"fromProvider": "openai:a", "toProvider": "anthropic:b", "reason": "outage", "capabilityDeltas": []}
        self.note(type_, facts if type_ == "ProviderSwitched" else {"keep": 0, "reason": "edited"})

    def plan(self, subjects):
        calls = []
        for subject in subjects:
            self.ids += 1
            calls.append(ToolCall(f"call{self.ids:05d}", "create", {"subject": subject}))
        self.say(Message.assistant(calls))
        return calls


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(course=st.lists(user_turn, min_size=1, max_size=3))
def test_each_effect_happens_as_often_as_the_user_asked_for_it(course):
    world = World()

    @tool(effect="external_write")
    def create(subject: str):
        world.effects[subject] += 1
        return {"number": world.effects[subject]}

    wanted = Counter()
    for turns in course:
        world.say(Message.user("go on"))
        most = Counter()
        for subjects, boundary, again, takes_over in turns:
            if boundary:
                world.boundary(boundary)
            guard = Guard(world.store, NS, "conv")
            if takes_over:
                desk = guard._desk
                guard._desk = type(desk)(world.store, NS, "conv", None, desk.clock, 60.0, "elsewhere:boot:1:1")
            calls = world.plan(subjects)
            for _ in range(1 + again):
                for call in calls:
                    guard.call(create, call.args, call_id=call.id)
            most |= Counter(subjects)
        wanted += most

    assert world.effects == wanted
    assert list(world.store.check()) == []
    world.store.close()
