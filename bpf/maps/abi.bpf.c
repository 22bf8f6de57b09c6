// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Every map and no program: the daemon makes the maps from it before it loads
 * programs, and the generator of src/maps/generated reads its types. clang
 * leaves out enumerations that nothing refers to, hence the pointers.
 */
#include "../lib/config.h"
#include "collector.h"
#include "device.h"
#include "endpoint.h"
#include "exempt.h"
#include "flow.h"
#include "fragment.h"
#include "metrics.h"
#include "publish.h"
#include "reject.h"
#include "resolver.h"
#include "service.h"
#include "share.h"
#include "socket.h"

enum device_kind *abi_device_kind;
enum device_flag *abi_device_flag;
enum network_flag *abi_network_flag;
enum host_prefix_kind *abi_host_prefix_kind;
enum flow_action *abi_flow_action;
enum flow_flag *abi_flow_flag;
enum flow_state *abi_flow_state;
enum hook *abi_hook;
enum outcome *abi_outcome;
enum drop_reason *abi_drop_reason;
enum flow_protocol *abi_flow_protocol;
enum port_table *abi_port_table;
enum port_slot *abi_port_slot;
enum publish_flag *abi_publish_flag;
enum resolver_mark *abi_resolver_mark;
enum socket_event *abi_socket_event;
enum port_use_of *abi_port_use_of;
enum service_flag *abi_service_flag;
enum backend_state *abi_backend_state;
enum service_refusal *abi_service_refusal;
