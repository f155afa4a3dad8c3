"""A stand-in for the plugin `aws`: the engine's own protocol on one side, boto3 on the other (resources.py).

It works in an emulated cloud, whose addresses it is given. Without them it shows previews and does nothing else: no
real account is for a stand-in. `make preview` uses it where the official plugin cannot be had.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from scripts.toolchain.aws.resources import KINDS, LOOKUPS, Cloud, Kind, still_there

T = TypeVar("T")

VERSION = "7.51.1"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
LOG = os.environ.get("AWS_STANDIN_LOG")
NO_REAL_ACCOUNT = (
    "this is a stand-in for the plugin aws, which shows previews and works in no real account; get the official one: "
    f"pulumi plugin install resource aws {VERSION}, or name a folder that has it in OFFICIAL_PLUGINS"
)
_log_lock = threading.Lock()


def plain(values: Any) -> dict[str, Any]:
    """A message's values."""
    found: dict[str, Any] = json_format.MessageToDict(values)
    return found


def struct(values: Mapping[str, Any]) -> Any:
    """Values as a message has them."""
    made = struct_pb2.Struct()
    made.update(values)
    return made


def note(**what: Any) -> None:
    """A line for the tests, which compare names and types with the SDK's schema."""
    if LOG:
        with _log_lock, pathlib.Path(LOG).open("a") as log:
            log.write(json.dumps(what) + "\n")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The engine's calls, by the names that its protocol gives them."""

    cloud: Cloud

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        config = plain(request.args)
        region = config.get("region", "")
        endpoints = config.get("endpoints", "[]")
        endpoints = json.loads(endpoints) if isinstance(endpoints, str) else endpoints
        self.cloud = Cloud(region, {name: url for one in endpoints for name, url in one.items()})
        if str(config.get("skipCredentialsValidation", "false")).lower() != "true":
            self._refuse_real_account(context)
            if region not in self.cloud.session.get_available_regions("ec2"):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"invalid AWS Region: {region}")
            self._validate_credentials(context)
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    def _refuse_real_account(self, context: Any) -> None:
        if not self.cloud.endpoints and "AWS_ENDPOINT_URL" not in os.environ:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, NO_REAL_ACCOUNT)

    def _validate_credentials(self, context: Any) -> None:
        if self.cloud.session.get_credentials() is None:
            context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "unable to validate AWS credentials. Details: No valid credential sources found.",
            )
        try:
            self.cloud.client("sts").get_caller_identity()
        except Exception as problem:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"retrieving caller identity from STS: {problem}")

    def Check(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn, context)
        news, olds = plain(request.news), plain(request.olds)
        if kind.autonamed and "name" not in news:
            news["name"] = olds.get("name") or f"{request.urn.rpartition('::')[2]}-{secrets.token_hex(4)[:7]}"
        note(type=_type(request.urn), inputs=news)
        return provider_pb2.CheckResponse(inputs=struct(news))

    def Diff(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn, context)
        olds, news = plain(request.old_inputs), plain(request.news)
        changed = sorted(key for key in olds.keys() | news.keys() if olds.get(key) != news.get(key))
        if not changed:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME,
            diffs=changed,
            replaces=[key for key in changed if key not in kind.update],
        )

    def Create(self, request: Any, context: Any) -> Any:
        kind, inputs = self._kind(request.urn, context), plain(request.properties)
        if request.preview:
            outputs = {**dict.fromkeys(kind.computed, UNKNOWN), **inputs}
            return provider_pb2.CreateResponse(id="", properties=struct(outputs))
        identity, more = self._do(context, lambda: kind.create(self.cloud, inputs))
        note(type=_type(request.urn), outputs=sorted(more))
        return provider_pb2.CreateResponse(id=identity, properties=struct({**inputs, **more}))

    def Read(self, request: Any, context: Any) -> Any:
        kind, known = self._kind(request.urn, context), plain(request.properties)
        if not self._do(context, lambda: still_there(self.cloud, kind, request.id, known)):
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: Any, context: Any) -> Any:
        kind = self._kind(request.urn, context)
        olds, news, known = plain(request.old_inputs), plain(request.news), plain(request.olds)
        if not request.preview:
            for key, change in kind.update.items():
                if olds.get(key) != news.get(key):
                    self._do(context, functools.partial(change, self.cloud, request.id, news))
        return provider_pb2.UpdateResponse(properties=struct({**known, **news}))

    def Delete(self, request: Any, context: Any) -> Any:
        kind, known = self._kind(request.urn, context), plain(request.properties)
        if self._do(context, lambda: still_there(self.cloud, kind, request.id, known)):
            self._do(context, lambda: kind.delete(self.cloud, request.id, known))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        if request.tok not in LOOKUPS:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in has no look-up {request.tok}")
        arguments = plain(request.args)
        answer = self._do(context, lambda: LOOKUPS[request.tok](self.cloud, arguments))
        note(lookup=request.tok, arguments=arguments, outputs=sorted(answer))
        return provider_pb2.InvokeResponse(**{"return": struct(answer)})

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def _kind(self, urn: str, context: Any) -> Kind:
        kind = KINDS.get(_type(urn))
        if kind is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in has no {_type(urn)}")
            raise AssertionError  # it does not return
        return kind

    def _do(self, context: Any, action: Callable[[], T]) -> T:
        self._refuse_real_account(context)
        try:
            return action()
        except Exception as problem:
            context.abort(grpc.StatusCode.UNKNOWN, f"{problem}")
            raise  # it does not return


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def main() -> None:
    """Serves the engine, which learns the port from the first line."""
    server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", 400 * 1024 * 1024)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
