# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# b3: its sockets have not learnt the smaller path MTU of the checks before.
check 'fragments of a published port IPv4' 'same 5000' peer ext ask "$HOST4" 6000 5000
check 'fragments of a published port IPv6' 'same 5000' peer ext ask "$HOST6" 6000 5000
check 'fragments of a masqueraded flow IPv4' 'same 5000' peer b3 ask "$EXT4" 9000 5000
check 'fragments of a masqueraded flow IPv6' 'same 5000' peer b3 ask "$EXT6" 9000 5000
