"""Which name servers a pod asks."""

from __future__ import annotations

from podlane.node.runtime.dns import Resolver, for_pod, machines, parse

STUB = "# by systemd\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.example\n"
REAL = "nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch corp.example\n"


def test_a_file_is_read_as_the_manual_says() -> None:
    found = parse("domain a\nsearch b c # d\nnameserver 1.1.1.1\n;nameserver 2.2.2.2\nnameserver\n")
    assert found == Resolver(nameservers=("1.1.1.1",), searches=("b", "c"))


def test_a_machine_with_real_servers_passes_them_on() -> None:
    assert machines(REAL, "") == parse(REAL)
    mixed = machines("nameserver ::1\nnameserver 10.0.0.2\n", "")
    assert mixed.nameservers == ("10.0.0.2",)
    assert mixed.loopback == ""


def test_a_stub_is_replaced_by_the_servers_behind_it() -> None:
    found = machines(STUB, REAL)
    assert found.nameservers == ("10.0.0.2", "10.0.0.3")
    assert (found.searches, found.options) == (("corp.example",), ("edns0", "trust-ad"))
    assert found.loopback == ""


def test_a_stub_with_nothing_known_behind_it_is_forwarded_to() -> None:
    found = machines(STUB, "")
    assert found.loopback == "127.0.0.53"
    assert found.text == ("search corp.example\nnameserver 127.0.0.53\noptions edns0 trust-ad\n")
    assert machines("", "").loopback == "127.0.0.1"
    assert machines("nameserver ::1\n", "").loopback == "127.0.0.1"


def test_a_pods_wishes_come_on_top_unless_it_wants_nothing_else() -> None:
    base = parse("nameserver 10.0.0.2\nsearch corp.example\noptions ndots:1 edns0\n")
    wanted = Resolver(
        nameservers=("9.9.9.9", "10.0.0.2"), searches=("a.example",), options=("ndots:5",)
    )
    assert for_pod("None", base, wanted) == wanted
    merged = for_pod("ClusterFirst", base, wanted)
    assert merged.nameservers == ("10.0.0.2", "9.9.9.9")
    assert merged.searches == ("corp.example", "a.example")
    assert merged.options == ("ndots:5", "edns0")
