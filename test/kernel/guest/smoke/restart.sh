# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A daemon that dies, one that comes back, and one with other programs: under a transfer each.
STREAM=$WORK/stream
begin_transfer() {
  : >"$STREAM"
  # no function: its process would be a shell's, and not end
  nsenter --net=/run/netns/ext python3 "$PEERS" follow "$HOST4" 6002 >"$STREAM" 2>&1 &
  echo $! >"$WORK/transfer"
  wait_for "$STREAM" ready $!
}
end_transfer() {
  # a while longer: what was lost shows as silence or as a line out of turn
  sleep 5
  end TERM "$WORK/transfer"
  cat "$STREAM"
}
endpoint_programs() { bpftool prog show | grep -oE '^[0-9]+: sched_cls +name endpoint_ingress' | sort | tr '\n' ' '; }

begin_transfer
end KILL "$WORK/daemon"
check 'daemon killed, a published port' 'b1 saw' get ext "http://$HOST4:8080/"
check 'daemon killed, a VIP' 'b[12] saw' get b3 "http://$V4/"
check 'daemon killed, masquerade' 'ext saw' get b2 "http://$EXT4:8000/"
done_by 'restart' start_daemon --xdp
check 'a transfer over kill and restart' '^whole after many' end_transfer
check 'restarted, a published port' 'b1 saw' get ext "http://$HOST4:8080/"
check 'restarted, a name' 'b[12] saw' sluice sandbox exec b3 -- curl -sS --max-time 30 http://shop/

begin_transfer
before=$(endpoint_programs)
end TERM "$WORK/daemon"
done_by 'upgrade' start_daemon --xdp --no-socket-services --masquerade-except 203.0.113.0/24
check 'a transfer over an upgrade' '^whole after many' end_transfer
other_programs() { if [ "$(endpoint_programs)" = "$before" ]; then echo "as before: $before"; else echo others; fi; }
soon 'an upgrade exchanges the programs' '^others' other_programs
check 'a VIP by packet IPv4' '^[1-9][0-9]* flows' flows_of "http://$V4/" "$V4"
check 'a VIP by packet IPv6' '^[1-9][0-9]* flows' flows_of "http://[$V6]/" "$V6"
check 'a VIP by packet UDP' 'same 100' peer b3 ask "$V4" 7000 100
