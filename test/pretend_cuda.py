# Copyright 2026 diffphyscam_ros contributors. SPDX-License-Identifier: Apache-2.0
"""CUDA for tests on machines without a GPU: tensors that say they are there and live here.

Inside :func:`pretend_cuda` a tensor on ``cuda`` is a wrapper around one on the CPU. Every
operation is refused that a GPU would refuse for where its operands are, so that what mixes
devices, or reads a GPU's memory as numpy, fails here as it would there. Triton kernels run
interpreted, and only on what is on the pretended device. A GPU's arithmetic is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map

CUDA = torch.device('cuda', 0)
CPU = torch.device('cpu')
aten = torch.ops.aten

INDEXES = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
"""What moves indices from the CPU to where they are needed."""


class CudaTensor(torch.Tensor):
    """A tensor that is on ``cuda`` by its own account; to autograd it is on the CPU."""

    inner: torch.Tensor
    is_cuda = True
    device = CUDA
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> CudaTensor:
        """Wrap a tensor on the CPU."""
        assert not isinstance(inner, CudaTensor)
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
        )
        made.inner = inner.detach()
        return made  # type: ignore[no-any-return]

    def __repr__(self, **kwargs: Any) -> str:
        """Say what is inside."""
        return f'CudaTensor({self.inner!r})'

    def numpy(self, **kwargs: Any) -> Any:
        """Refuse, as torch does."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as torch does."""
        return self.numpy()

    def tolist(self) -> Any:
        """Return the numbers, which torch fetches from everywhere."""
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation on the CPU, or refuse it as a GPU does."""
        given = args, kwargs or {}
        _refuse_mixtures(func, given)
        args, kwargs = tree_map(_inner, given)
        result = func(*args, **kwargs)
        if func._schema.is_mutable:
            return next(iter(given[0]))
        return tree_map(lambda x: CudaTensor(x) if isinstance(x, torch.Tensor) else x, result)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, CudaTensor) else value


def _refuse_mixtures(func: Any, given: Any) -> None:
    tensors = [x for x in tree_iter(given) if isinstance(x, torch.Tensor)]
    strangers = [x for x in tensors if not isinstance(x, CudaTensor) and x.dim() > 0]
    if torch._C._current_graph_task_id() != -1:
        # Where no gradient comes from, autograd puts zeros: on the CPU, as it sees these tensors.
        strangers = [x for x in strangers if bool(x.any())]
    if func is aten.copy_.default or not strangers:
        return
    if func in INDEXES and isinstance(tensors[0], CudaTensor) and _of_whole_numbers(strangers):
        return
    raise RuntimeError(
        f'{func}: expected all tensors on one device, but {len(strangers)} of {len(tensors)} are '
        f'on the CPU: {[tuple(x.shape) for x in strangers]}'
    )


def _of_whole_numbers(tensors: list[torch.Tensor]) -> bool:
    return not any(x.is_floating_point() for x in tensors)


class _Upload(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return CudaTensor(x)

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        return _inner(given[0])


class _Download(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return _inner(x).clone()

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> Any:
        return CudaTensor(given[0])


def _device_of(value: Any) -> torch.device | None:
    """Return what an argument means as a device, if it means one."""
    if isinstance(value, torch.device):
        return value
    if isinstance(value, str) and value.partition(':')[0] in ('cuda', 'cpu'):
        return torch.device(value)
    return None


class _Placing(TorchFunctionMode):
    """Puts on the pretended device what is asked for there, and fetches it from it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.device or getattr(func, '__name__', '') == '__get__':
            return func(*args, **kwargs)
        if func is torch.Tensor.cpu:
            return self._placed(args[0], CPU)
        if func in (torch.Tensor.cuda, torch.Tensor.new_tensor):
            made = func(*args, **kwargs) if func is torch.Tensor.new_tensor else args[0]
            wanted = CUDA if func is torch.Tensor.cuda else kwargs.get('device', args[0].device)
            return self._placed(made, wanted)
        if func is torch.Tensor.to and isinstance(args[-1], torch.Tensor) and len(args) == 2:
            return self._placed(args[0].to(args[1].dtype), args[1].device)
        asked = [d for d in map(_device_of, (*args, *kwargs.values())) if d is not None]
        if not asked:
            return func(*args, **kwargs)
        args = tuple(CPU if _device_of(x) else x for x in args)
        kwargs = {name: CPU if _device_of(x) else x for name, x in kwargs.items()}
        return tree_map(lambda x: self._placed(x, asked[-1]), func(*args, **kwargs))

    @staticmethod
    def _placed(value: Any, device: torch.device) -> Any:
        if not isinstance(value, torch.Tensor) or value.device.type == device.type:
            return value
        if device.type == 'cpu':
            return _Download.apply(value)
        return _Upload.apply(value)


def _interpret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let interpreted Triton kernels take what is on the pretended device, and that alone."""
    try:
        from triton.runtime.interpreter import GridExecutor
    except ImportError:
        return
    launch = GridExecutor.__call__

    def unwrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and not isinstance(value, CudaTensor):
                raise RuntimeError('a Triton kernel is given a tensor on the CPU')
        with torch._C.DisableTorchFunction():
            given = {name: _inner(value) for name, value in kwargs.items()}
            return launch(self, *map(_inner, args), **given)

    monkeypatch.setattr(GridExecutor, '__call__', unwrapped)


@contextlib.contextmanager
def pretend_cuda() -> Iterator[None]:
    """Pretend that there is one GPU."""
    with pytest.MonkeyPatch.context() as monkeypatch, _Placing():
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
        monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
        monkeypatch.setattr(torch.cuda, 'device', lambda device: contextlib.nullcontext())
        _interpret(monkeypatch)
        yield
