"""The table of flags: complete, without doubles, its defaults those of the options."""

import pytest

from durabus.config.flag_table import FLAGS, GROUPS, REFUSED, WITHOUT_EFFECT
from durabus.config.flags import Flag, Kind
from durabus.config.options import Options, with_settings

# Every flag name that the original (v0.23.2) knows.
ORIGINAL = """
    D DV DVV P SD SDV SV T V VV a addr auth c cid client_advertise cluster cluster_advertise
    cluster_allow_add_remove_node cluster_bootstrap cluster_id cluster_listen cluster_log_cache_size cluster_log_path
    cluster_log_snapshots cluster_name cluster_node_id cluster_peers cluster_proceed_on_restore_failure
    cluster_raft_logging cluster_sync cluster_trailing_logs clustered config connect_retries debug dir encrypt
    encryption_cipher encryption_key file_auto_sync file_buffer_size file_compact_enabled file_compact_frag
    file_compact_interval file_compact_min_size file_crc file_crc_poly file_fds_limit file_parallel_recovery
    file_read_buffer_size file_slice_archive_script file_slice_max_age file_slice_max_bytes file_slice_max_msgs file_sync
    file_truncate_bad_eof ft_group h hb_fail_count hb_interval hb_timeout hbf hbi hbt help help_tls http_port https_port
    io_batch_size io_sleep_time jetstream js l log log_size_limit logtime m ma max_age max_bytes max_channels
    max_inactivity max_msgs max_subs max_traced_msg_len mb mc mi mm ms msu n name nats_server net no_advertise ns p pass
    pid port ports_file_dir profile r remote_syslog replace_durable routes s sc sd secure server_name signal sl
    sql_bulk_insert_limit sql_driver sql_max_open_conns sql_no_caching sql_source st stan_config stan_debug stan_trace
    store store_dir syslog syslog_name t tls tls_client_cacert tls_client_cert tls_client_key tlscacert tlscert tlskey
    tlsverify trace user v version
"""
OURS = ["presence_grace", "sql_create_tables"]


@pytest.mark.row(116)
def test_every_flag_of_the_original_is_known_once() -> None:
    assert sorted(name for flag in FLAGS for name in flag.names) == sorted(ORIGINAL.split() + OURS)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.refused], ids=lambda flag: flag.names[0])
def test_a_refused_flag_says_what_to_do(flag: Flag) -> None:
    assert flag.group == REFUSED
    assert flag.settings == ()
    assert any(word in flag.refused for word in ("leave", "use"))


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.group in GROUPS], ids=lambda flag: flag.names[0])
def test_a_flag_that_has_an_effect_is_explained(flag: Flag) -> None:
    assert flag.help
    assert flag.help.isascii(), "the help is printed in any locale"
    assert not flag.refused


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if not flag.refused], ids=lambda flag: flag.names[0])
def test_a_default_changes_nothing(flag: Flag) -> None:
    settings = {name: flag.option_value(flag.default) for name in flag.settings}
    assert with_settings(Options(), settings) == Options()


def test_every_heading_has_flags() -> None:
    assert {flag.group for flag in FLAGS} == {*GROUPS, REFUSED, WITHOUT_EFFECT}


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.names[0])
def test_a_default_is_of_the_kind_of_its_flag(flag: Flag) -> None:
    expected = {Kind.BOOL: bool, Kind.STRING: str}.get(flag.kind, int)
    assert type(flag.default) is expected


def test_only_flags_that_are_short_for_others_set_several_options() -> None:
    assert [flag.names for flag in FLAGS if len(flag.settings) > 1] == [("SDV",), ("DV",), ("VV",), ("DVV",)]
