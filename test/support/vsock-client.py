"""A client as people write them for Firecracker's vsock: nothing here knows which VMM it talks to."""

import os
import socket
import sys

path, guest_port, host_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = bytes(range(256)) * 400


def exchange(stream):
    """Sends all, ends its half, and reads the other half to its end."""
    stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)
    received = b""
    while piece := stream.recv(65536):
        received += piece
    stream.close()
    return received == data


server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(f"{path}_{host_port}")
server.listen(1)
print("listening", flush=True)
stream, _ = server.accept()
print("from the guest:", exchange(stream), flush=True)
server.close()
os.unlink(f"{path}_{host_port}")

sys.stdin.readline()
client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
client.connect(path)
client.sendall(f"CONNECT {guest_port}\n".encode())
answer = b""
while not answer.endswith(b"\n"):
    answer += client.recv(1)
print("answer:", answer.split()[0].decode(), answer.split()[1].isdigit(), flush=True)
print("to the guest:", exchange(client), flush=True)
