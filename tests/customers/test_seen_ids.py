from enrich.customers.seen_ids import SeenIds


def test_the_first_line_of_an_id_counts() -> None:
    with SeenIds() as seen:
        assert [seen.add(one, line) for line, one in enumerate(["a", "b", "A", "a", "a", "b", "é"], start=1)] == [
            None,
            None,
            None,
            1,
            1,
            2,
            None,
        ]


def test_ids_are_remembered_when_they_no_longer_fit_the_cache() -> None:
    """SQLite's cache of 2 MB; these take 6 MB."""
    ids = [f"{number:0100d}" for number in range(50_000)]
    with SeenIds() as seen:
        assert not any(seen.add(one, line) for line, one in enumerate(ids, start=1))
        assert [seen.add(ids[line - 1], 99_999) for line in (1, 777, 50_000)] == [1, 777, 50_000]
