# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
end TERM "$WORK/daemon"
done_by 'cleanup' in_ns host "$CHECKOUT/bin/sluiced" cleanup "${FLAGS[@]}" --state
left() { # KIND: what is there that was not there before, or "none"; the kernel frees some after a while
  traces | grep "^$1" | grep -vxFf "$WORK/before" || echo none
}
soon 'cleanup leaves no program' '^none' left program
soon 'cleanup leaves no map' '^none' left map
soon 'cleanup leaves no link' '^none' left link
soon 'cleanup leaves no pin' '^none' left pin
soon 'cleanup leaves no qdisc' '^none' left qdisc
soon 'cleanup leaves no interface' '^none' left interface
soon 'cleanup leaves no namespace' '^none' left namespace
soon 'cleanup leaves no reserved port' '^none' left reserved
