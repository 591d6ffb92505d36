"""Times in turns, by a clock that the steps themselves move on."""

from freqkd_lite.bench import turns
from freqkd_lite.bench.turns import quartiles, ratio, take_turns


def test_ratios_are_of_one_round_and_their_median():
    # the machine is 10 times slower in the last round: 2, 3 and 4 times as long
    assert ratio([2.0, 3.0, 40.0], [1.0, 1.0, 10.0]) == 3.0


def test_quartiles_are_of_the_ratios_too():
    # 5, 2, 1, 4 and 30 times as long: a quarter of the way from the least is the second
    assert quartiles([5.0, 4.0, 1.0, 40.0, 30.0], [1.0, 2.0, 1.0, 10.0, 1.0]) == [2.0, 5.0]
    assert quartiles([2.0, 4.0], [1.0, 1.0]) == [2.5, 3.5]
    assert quartiles([6.0], [2.0]) == [3.0, 3.0]


def test_all_take_turns_in_changing_order_and_the_first_round_is_left_out(monkeypatch):
    order, now = [], [0.0]

    def step(name):
        def take():
            order.append(name)
            now[0] += order.count(name)  # as many seconds as its turns so far
            return f"{name}{order.count(name)}"

        return take

    monkeypatch.setattr(turns, "perf_counter", lambda: now[0])
    values, seconds = take_turns({name: step(name) for name in "abc"}, 6)
    assert values == {"a": "a7", "b": "b7", "c": "c7"}
    assert seconds == {name: [2.0, 3.0, 4.0, 5.0, 6.0, 7.0] for name in "abc"}
    rounds = ["".join(order[i : i + 3]) for i in range(0, 21, 3)]
    assert all(sorted(each) == list("abc") for each in rounds)
    assert len(set(rounds[:6])) == 6  # of three there are so many orders
    many = {name: step(name) for name in "abcdef"}
    order.clear()
    take_turns(many, 20)
    rounds = ["".join(order[i : i + 6]) for i in range(0, 126, 6)]
    assert all(sorted(each) == list("abcdef") for each in rounds) and len(set(rounds)) > 15
    after = {(a, b) for each in rounds for a, b in zip(each, each[1:], strict=False)}
    assert len(after) > 25  # of 30 pairs of neighbours
