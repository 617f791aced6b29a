"""How the suite is shared out among workers."""


def test_tests_of_a_file_share_a_worker(request):
    """pytest-xdist sends a group to one worker by what stands after the @ of a test's name; some pytest ignores it."""
    if hasattr(request.config, "workerinput"):
        assert request.node.nodeid.endswith("@tests/test_workers.py")
    else:
        assert request.node.get_closest_marker("xdist_group").args == ("tests/test_workers.py",)
