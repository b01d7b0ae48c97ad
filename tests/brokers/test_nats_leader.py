"""Which node of a NATS cluster counts as the leader if the server has its own streams."""

from types import SimpleNamespace

from brokers.programs import nats_cluster


def stream(name, port):
    return {"config": {"name": name}, "cluster": {"leader": nats_cluster._server_name(f"127.0.0.1:{port}")}}


def test_the_servers_own_streams_do_not_decide_the_leader(monkeypatch):
    nodes = {f"127.0.0.1:{port}": SimpleNamespace(port=port) for port in (4001, 4002)}
    streams = [stream("$MQTT_sess", 4001), stream("fanbench-run", 4002)]
    monkeypatch.setattr(nats_cluster, "_streams", lambda _address: streams)
    assert nats_cluster._leader(nodes, ["jetstream"], "events").port == 4002
