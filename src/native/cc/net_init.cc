// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "net_ns.h"
#include "net_packet.h"
#include "net_peer.h"
#include "net_socket.h"

namespace sluice {

void InitNet(Napi::Env env, Napi::Object exports) {
  exports.Set("netOpen", Napi::Function::New(env, NetOpen, "netOpen"));
  exports.Set("netRequest", Napi::Function::New(env, NetRequest, "netRequest"));
  exports.Set("netBatch", Napi::Function::New(env, NetBatch, "netBatch"));
  exports.Set("netListen", Napi::Function::New(env, NetListen, "netListen"));
  exports.Set("netClose", Napi::Function::New(env, NetClose, "netClose"));
  exports.Set("netSend", Napi::Function::New(env, NetSend, "netSend"));
  exports.Set("netnsCreate", Napi::Function::New(env, NetnsCreate, "netnsCreate"));
  exports.Set("netnsDelete", Napi::Function::New(env, NetnsDelete, "netnsDelete"));
  exports.Set("netnsInfo", Napi::Function::New(env, NetnsInfo, "netnsInfo"));
  exports.Set("netnsWrite", Napi::Function::New(env, NetnsWrite, "netnsWrite"));
  exports.Set("netnsRead", Napi::Function::New(env, NetnsRead, "netnsRead"));
  exports.Set("netnsSocket", Napi::Function::New(env, NetnsSocket, "netnsSocket"));
  exports.Set("socketDrops", Napi::Function::New(env, SocketDrops, "socketDrops"));
  exports.Set("socketReconnect", Napi::Function::New(env, SocketReconnect, "socketReconnect"));
}

}  // namespace sluice
