"""Artifacts in a folder of this machine.

Every path is walked from the root down, one open folder at a time, and no symbolic link below the root is ever
followed, not even one that appears between a check and its use. The root itself may be a link.

An upload is written to a hidden file beside its target and renamed when it is whole. So that what a killed server
leaves behind is found without a search of the whole tree, a note of each upload under way lies in one hidden folder
of the root; a store that is opened removes the uploads noted there that nobody has written to for a day.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice

from runnel.artifacts.store import (
    MAX_PATH_BYTES,
    RESERVED_PREFIX,
    FileInfo,
    StoreUnusable,
    clean_artifact_path,
    clean_file_path,
    clean_path_below_root,
    is_a_folder,
    is_below_a_file,
    no_such_artifact,
)
from runnel.domain.errors import InvalidParameterValue, InvalidState, TemporarilyUnavailable

ABANDONED_AFTER_SECONDS = 24 * 60 * 60

_NOTES_FOLDER = f"{RESERVED_PREFIX}notes"
_MAX_NOTES_AT_OPENING = 10_000
_MAX_ATTEMPTS = 10  # against others who create or delete in the same folder at the same time

_ROOT_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER_FLAGS = _ROOT_FLAGS | os.O_NOFOLLOW
# Not blocking: a named pipe that somebody put there must not hang the server.
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_SURROGATE = re.compile("[\ud800-\udfff]")  # how Python shows a byte of a file name that is not UTF-8


class LocalArtifactStore:
    """An `ArtifactStore` in the folder ``root`` (an absolute path), which is created when it is missing."""

    def __init__(self, root: str) -> None:
        try:
            os.makedirs(root, exist_ok=True)
        except OSError as error:
            raise ValueError(f"The artifacts destination '{root}' is not a usable folder: {error.strerror}") from error
        self._root = root
        with suppress(OSError):  # a folder that can only be read is still worth serving
            self._remove_abandoned_uploads()

    def list(self, path: str) -> builtins.list[FileInfo]:
        """The files and folders in a folder; links, pipes and the like are not shown."""
        path = clean_artifact_path(path)
        try:
            with _client_errors(path), self._folder(path) as folder, os.scandir(folder) as entries:
                infos = [info for entry in entries if (info := _file_info(path, entry)) is not None]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(infos, key=lambda info: info.path)

    def open_reader(self, path: str, *, start: int = 0, length: int | None = None) -> LocalArtifactReader:
        """Opens a file for reading ``length`` bytes from ``start`` on."""
        path = clean_artifact_path(path)
        parent, _, name = path.rpartition("/")
        try:
            with _client_errors(path), self._folder(parent) as folder:
                descriptor = os.open(name or ".", _READ_FLAGS, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            raise no_such_artifact(path) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise is_a_folder(path) if stat.S_ISDIR(status.st_mode) else no_such_artifact(path)
        return LocalArtifactReader(descriptor, status, start, length)

    def open_writer(self, path: str) -> LocalArtifactWriter:
        """Starts an upload to a hidden file beside ``path``."""
        path = clean_file_path(path)
        for _ in range(_MAX_ATTEMPTS):
            # A new folder can be deleted by somebody else before the file is in it.
            with suppress(FileNotFoundError), _client_errors(path):
                return self._start_upload(path)
        raise TemporarilyUnavailable(f"The folder of '{path}' is being deleted")

    def delete(self, path: str) -> None:
        """Removes a file, a folder with all in it, or a link, but never what a link points to."""
        path = clean_path_below_root(path)
        parent, _, name = path.rpartition("/")
        try:
            with _client_errors(path), self._folder(parent) as folder:
                _remove(folder, name)
        except (FileNotFoundError, NotADirectoryError):
            return

    def probe(self) -> None:
        """Looks whether the root is a folder that can be written to: a volume may have gone or become read-only."""
        if not os.path.isdir(self._root):
            raise StoreUnusable(f"The artifacts destination '{self._root}' is not there, or is no folder")
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise StoreUnusable(f"The artifacts destination '{self._root}' cannot be written to")

    def _start_upload(self, path: str) -> LocalArtifactWriter:
        parent, _, name = path.rpartition("/")
        try:
            folder = self._open_folder(parent, create=True)
        except NotADirectoryError:
            raise is_below_a_file(path) from None
        temporary = RESERVED_PREFIX + uuid.uuid4().hex
        try:
            _check_target(folder, name, path)
            file = os.open(temporary, _CREATE_FLAGS, 0o666, dir_fd=folder)
        except BaseException:
            os.close(folder)
            raise
        writer = LocalArtifactWriter(self, path, folder, temporary, file)
        try:
            self._write_note(temporary, parent)
        except BaseException:
            writer.abort()
            raise
        return writer

    def _write_note(self, temporary: str, parent: str) -> None:
        notes = self._open_folder(_NOTES_FOLDER, create=True)
        try:
            with io.FileIO(os.open(temporary, _CREATE_FLAGS, 0o666, dir_fd=notes), "w") as note:
                note.write(parent.encode())
        finally:
            os.close(notes)

    def _remove_note(self, temporary: str) -> None:
        with suppress(OSError), self._folder(_NOTES_FOLDER) as notes:
            os.unlink(temporary, dir_fd=notes)

    def _remove_abandoned_uploads(self) -> None:
        last_sign_of_life = time.time() - ABANDONED_AFTER_SECONDS
        with self._folder(_NOTES_FOLDER) as notes, os.scandir(notes) as entries:
            for entry in islice(entries, _MAX_NOTES_AT_OPENING):
                if not entry.name.startswith(RESERVED_PREFIX):
                    continue
                with suppress(FileNotFoundError):  # another server opens the same store
                    if entry.stat(follow_symlinks=False).st_mtime < last_sign_of_life:
                        self._remove_abandoned_upload(notes, entry.name, last_sign_of_life)

    def _remove_abandoned_upload(self, notes: int, temporary: str, last_sign_of_life: float) -> None:
        with io.FileIO(os.open(temporary, _READ_FLAGS, dir_fd=notes)) as note:
            parent = note.read(MAX_PATH_BYTES).decode(errors="replace")
        with (
            suppress(FileNotFoundError, NotADirectoryError, InvalidParameterValue),  # deleted with its folder
            self._folder(clean_artifact_path(parent)) as folder,
        ):
            if os.stat(temporary, dir_fd=folder, follow_symlinks=False).st_mtime >= last_sign_of_life:
                return  # a slow upload that goes on
            os.unlink(temporary, dir_fd=folder)
        os.unlink(temporary, dir_fd=notes)

    @contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        folder = self._open_folder(path)
        try:
            yield folder
        finally:
            os.close(folder)

    def _open_folder(self, path: str, *, create: bool = False) -> int:
        """A descriptor of the folder at a clean path, for the caller to close."""
        if create:
            os.makedirs(self._root, exist_ok=True)
        folder = os.open(self._root, _ROOT_FLAGS)
        for name in filter(None, path.split("/")):
            try:
                child = _open_child(folder, name, create=create)
            finally:
                os.close(folder)
            folder = child
        return folder


class LocalArtifactReader:
    """An open file, or a range of it. A later upload replaces the file as a whole, so this one stays as it is."""

    def __init__(self, descriptor: int, status: os.stat_result, start: int, length: int | None) -> None:
        self.size = status.st_size
        self.last_modified = status.st_mtime
        self.etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"'
        self._file = io.FileIO(descriptor)
        self._file.seek(start)
        self._remaining = max(0, self.size - start) if length is None else length

    def read(self, max_bytes: int) -> bytes:
        """The next bytes of the range, at most ``max_bytes`` of them; ``b""`` at its end."""
        data = self._file.read(min(max_bytes, self._remaining)) or b""
        self._remaining -= len(data)
        return data

    def close(self) -> None:
        """Closes the file; may be called again."""
        self._file.close()


class LocalArtifactWriter:
    """An upload into a hidden file beside its target, in a folder that is held open until the end."""

    def __init__(self, store: LocalArtifactStore, path: str, folder: int, temporary: str, descriptor: int) -> None:
        self._store = store
        self._path = path
        self._folder = folder
        self._temporary = temporary
        self._file = io.FileIO(descriptor, "w")
        self._is_open = True

    def write(self, chunk: bytes) -> None:
        """Appends to the hidden file."""
        rest = memoryview(chunk)
        with _client_errors(self._path):
            while rest:
                rest = rest[self._file.write(rest) :]

    def commit(self) -> None:
        """Makes the file durable, gives it its name, and makes the name durable."""
        name = self._path.rpartition("/")[2]
        try:
            with _client_errors(self._path):
                os.fsync(self._file.fileno())
                self._file.close()
                os.rename(self._temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                os.fsync(self._folder)
        except FileNotFoundError:
            raise InvalidState(f"The folder of '{self._path}' was deleted during the upload") from None
        except IsADirectoryError:
            raise is_a_folder(self._path) from None
        finally:
            self.abort()  # after a success there is nothing left to remove

    def abort(self) -> None:
        """Removes the hidden file, unless it has got its name already."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._folder)
        finally:
            os.close(self._folder)
            self._file.close()
        self._store._remove_note(self._temporary)


def _open_child(folder: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    except NotADirectoryError:
        # Linux says this of a link too, when it was asked for a folder.
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _is_a_link(name) from None
        raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
        os.fsync(folder)
    return _open_child(folder, name, create=False)


def _check_target(folder: int, name: str, path: str) -> None:
    """Refuses an upload over a folder or a link before its bytes are sent."""
    with suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            raise is_a_folder(path)
        if stat.S_ISLNK(mode):
            raise _is_a_link(name)


def _remove(folder: int, name: str) -> None:
    for _ in range(_MAX_ATTEMPTS):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        try:
            if stat.S_ISDIR(mode):
                _remove_folder(folder, name)
            else:
                os.unlink(name, dir_fd=folder)
            return
        except (NotADirectoryError, IsADirectoryError):
            continue  # it has become the other kind since
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    raise TemporarilyUnavailable(f"'{name}' is being written to while it is deleted")


def _remove_folder(parent: int, name: str) -> None:
    """As ``shutil.rmtree``, but entries that others remove at the same time are no error (in Python 3.11 as well)."""
    folder = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        _remove_folder(folder, entry.name)
                    else:
                        os.unlink(entry.name, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def _file_info(folder_path: str, entry: os.DirEntry[str]) -> FileInfo | None:
    """What a client is told of an entry: nothing of hidden files, links, pipes, and names that are not Unicode."""
    if entry.name.startswith(RESERVED_PREFIX) or _SURROGATE.search(entry.name):
        return None
    path = f"{folder_path}/{entry.name}" if folder_path else entry.name
    with suppress(FileNotFoundError):  # deleted since the folder was read
        if entry.is_dir(follow_symlinks=False):
            return FileInfo(path, is_dir=True, file_size=None)
        if entry.is_file(follow_symlinks=False):
            return FileInfo(path, is_dir=False, file_size=entry.stat(follow_symlinks=False).st_size)
    return None


def _is_a_link(name: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"Invalid path: '{name}' is a symbolic link, and links are not followed")


@contextmanager
def _client_errors(path: str) -> Iterator[None]:
    """Turns what the system says about a client's path, or about a full disk, into errors for the client."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TemporarilyUnavailable("The artifact store has no space left") from error
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidParameterValue(f"Invalid path: '{path}' is too long for the file system") from None
        if error.errno == errno.ELOOP:
            raise _is_a_link(path) from None
        if error.errno == errno.ENXIO:  # a socket
            raise no_such_artifact(path) from None
        raise
