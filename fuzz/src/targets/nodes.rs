//! What nodes and clients read: frames, DNS, netlink, the runtime's and etcd's answers, logs. The promises are
//! asserted beside the parsers; those of codecs that are public are here.

use bytes::{Bytes, BytesMut};
use streaming::{spdy, websocket};

pub(super) const FRAMES: &[&str] = &[
    "\x01",
    "\x02",
    "\x00",
    "\x7e",
    "\x7f",
    "\x00\x00\x00\x00",
    "\x00\x00\x00\x01",
    "\x00\x00\x00\x03",
    "\x00\x00\x00\x05",
    "\x01\x00\x00\x05",
    "\x00\x7d",
    "\x00\x7e",
    "\x00\x00\x00\x04",
    "hello",
];

pub(super) const HANDSHAKES: &[&str] = &[
    "connection:Upgrade\n",
    "upgrade:websocket\n",
    "upgrade:SPDY/3.1\n",
    "sec-websocket-version:13\n",
    "sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\n",
    "sec-websocket-protocol:v5.channel.k8s.io\n",
    "sec-websocket-protocol:SPDY/3.1+portforward.k8s.io\n",
    "binary.k8s.io",
    "base64.binary.k8s.io",
    ",",
    ", ",
    ":",
    "\n",
    "=",
    "keep-alive, Upgrade",
];

pub(super) const DNS: &[&str] = &[
    "\x03web",
    "\x02ns",
    "\x03svc",
    "\x03pod",
    "\x07cluster",
    "\x05local",
    "\x00",
    "\x01*",
    "\x02db",
    "\x04db-0",
    "\x05_http",
    "\x04_tcp",
    "\x0a10-244-0-1",
    "\x0bdns-version",
    "\x07in-addr\x04arpa\x00",
    "\x03ip6\x04arpa\x00",
    "\x0140\x00",
    "\x00\x01\x00\x01",
    "\x00\x1c\x00\x01",
    "\x00\x21\x00\x01",
    "\x00\x0c\x00\x01",
    "\x00\x06\x00\x01",
    "\x00\x7f",
    "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00",
    "\x3f",
];

pub(super) const NETLINK: &[&str] = &[
    "\x10\x00\x00\x00",
    "\x08\x00\x01\x00",
    "\x08\x00\x03\x00",
    "\x14\x00\x01\x00",
    "\x04\x00\x01\x00",
    "\x00\x00",
    "\x03\x00\x00\x00",
    "lo\x00\x00",
    "\x0a\x00\x00\x01",
    "\x02\x18\x00\x00",
    "\x18\x00\x00\x00",
    "\x00\x00\x00\x00",
    "\x0c\x00\x03\x00",
];

pub(super) const PLUGIN: &[&str] = &[
    "ADD ",
    "DEL ",
    "CHECK ",
    "GC ",
    "STATUS ",
    "VERSION ",
    "abc ",
    "/run/netns/a ",
    "eth0 ",
    "K8S_POD_NAME=a;K8S_POD_NAMESPACE=b",
    "../..",
    "\n",
    "\"cniVersion\":\"1.1.0\"",
    "\"cniVersion\":\"0.3.1\"",
    "\"type\":\"loopback\"",
    "\"socket\":\"\"",
    "\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":80,\"containerPort\":8080,\"protocol\":\"tcp\"}]}",
    "\"HostIP\":\"::1\"",
    "\"hostIP\":\"10.0.0.1\"",
    "65536",
    "0",
    "-1",
    "null",
    "{}",
    "[]",
    ",",
    "\"command\":\"ADD\"",
    "\"exit_code\":1",
];

pub(super) const RANGES: &[&str] = &[
    "10.244.0.0/16",
    "0.0.0.0/0",
    "::/0",
    "fd00::/64",
    "/32",
    "/33",
    "/128",
    "/0",
    "/",
    "::ffff:1.2.3.4/120",
    "255",
    ".",
    ":",
    " ",
    "+8",
];

pub(super) const LOGS: &[&str] = &[
    "2026-11-21T09:00:00.123456789Z stdout F a\n",
    "2026-11-21T09:00:00.1+01:00 stderr P b\n",
    "\n",
    " ",
    "stdout",
    "stderr",
    "F",
    "P",
    "P:x",
    "Z",
    "tailLines=3",
    "tailLines=0",
    "limitBytes=10",
    "limitBytes=1",
    "sinceSeconds=5",
    "sinceTime=2026-11-21T09:00:00Z",
    "timestamps=true",
    "&",
    "99999999999999999999",
    "-1",
    "\u{e9}",
];

pub(super) const REQUESTS: &[&str] = &[
    "/exec/a/b/c",
    "/attach/a/b/u/c",
    "/portForward/a/b",
    "/containerLogs/a/b/c",
    "/logs/../etc",
    "/stats/summary",
    "/metrics",
    "/pods",
    "?",
    "&",
    "=",
    "command=sh",
    "input=1",
    "output=1",
    "error=1",
    "tty=1",
    "port=80,443",
    "port=0",
    "%2C",
    "%",
    "+",
    "tailLines=5",
    "\u{e9}",
];

pub(super) const RUNTIME: &[&str] = &[
    "\x0a\x03abc",
    "\x08\x01",
    "\x10\x7f",
    "\x12\x00",
    "\x1a\x02\x0a\x00",
    "\x18\x01",
    "\x28\x01",
    "\x0a\x04info\x12\x0a{\"pid\": 7}",
    "http://127.0.0.1:4321/exec/a",
    "http://[::1]:1/x?y",
    "unix:///a",
    "https://a/",
    "io.kubernetes.container.restartCount",
    "io.kubernetes.container.name",
    "io.kubernetes.container.preStopHandler",
    "{\"exec\":{\"command\":[\"a\"]}}",
    "4294967295",
];

pub(super) const IMAGES: &[&str] = &[
    "busybox",
    "docker.io/",
    "library/",
    ":5000/",
    ":latest",
    "@sha256:",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "localhost/",
    "[::1]:80/",
    "/",
    "-",
    "__",
    "..",
    "A",
    " ",
    "\n",
    "{\"auths\":{\"https://r.example/v1/\":{\"auth\":\"dTpw\"}}}",
    "\"*.example.com\":{}",
    "\"username\":\"u\"",
    "\u{e9}",
];

pub(super) const RESOLV: &[&str] = &[
    "nameserver 10.0.0.1\n",
    "nameserver fe80::1%eth0\n",
    "nameserver",
    "search a b.c. .\n",
    "search ",
    "options ndots:5 timeout:1\n",
    "options ndots:2\n",
    "#",
    ";",
    "\t",
    " ",
    "\n",
    "\r\n",
    ":",
    ".",
];

pub(super) const EXPANSIONS: &[&str] =
    &["$", "$$", "$(", ")", "$(A)", "$(LONG)", "$$(A)", "$($(A))", "$(a-b)", "(", "\u{e9}", " "];

pub(super) const URLS: &[&str] = &[
    "http://",
    "https://",
    "10.0.0.1",
    "[10.0.0.1]",
    "/",
    "//",
    ":80",
    ":99999",
    "@",
    "?a=b",
    "#x",
    "%2f",
    "..",
    "\\",
    "mailto:a",
    "example.org",
    "\u{e9}",
];

pub(super) const WATCHES: &[&str] = &[
    "{\"type\":\"ADDED\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}}\n",
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n",
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n",
    "\"DELETED\"",
    "\"MODIFIED\"",
    "\"data\":{\"a\":\"b\"}",
    "\"creationTimestamp\":null",
    "null",
    "\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "1e400",
];

pub(super) const KUBECONFIGS: &[&str] = &[
    "current-context: a\n",
    "clusters:\n",
    "- name: a\n",
    "  cluster:\n",
    "  context: {cluster: a, user: a}\n",
    "server: https://a:6443\n",
    "certificate-authority-data: YQ==\n",
    "certificate-authority: ca.pem\n",
    "token: a\n",
    "tokenFile: t\n",
    "users:\n",
    "contexts:\n",
    "client-key-data: '%'\n",
    "tls-server-name: b\n",
    "&a ",
    "*a",
    "{}",
    "[]",
    "~",
    "\n",
    "  ",
];

pub(super) const ETCD: &[&str] = &[
    "\x0a\x02\x18\x05",
    "\x12\x00",
    "\x12\x0a\x0a\x01a\x10\x01\x18\x01\x2a\x01b",
    "\x18\x01",
    "\x20\x01",
    "\x28\x01",
    "\x38\x01",
    "\x5a\x0c\x12\x0a\x0a\x01a\x10\x01\x18\x02\x2a\x01b",
    "\x08\x01",
    "\x12\x063.5.13",
    "\x123.4.31",
    "\x04",
    "\x00",
    "\x7f",
];

/// What a client was told, whatever the pieces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    bytes: Vec<(u32, Vec<u8>)>,
    marks: Vec<(usize, String)>,
}

impl Told {
    fn bytes(&mut self, stream: u32, bytes: &Bytes) {
        match self.bytes.last_mut() {
            Some((last, all)) if *last == stream => all.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => self.bytes.push((stream, bytes.to_vec())),
        }
    }

    fn mark(&mut self, what: String) {
        let at = self.bytes.iter().map(|(_, bytes)| bytes.len()).sum();
        self.marks.push((at, what));
    }
}

/// Frames of a client: the same in whatever pieces they come, and what is framed is read back.
pub(super) fn websocket(input: &[u8]) {
    let decode = |input: &[u8], size: usize| {
        let (mut decoder, mut buffer, mut told) =
            (websocket::Decoder::default(), BytesMut::new(), Told::default());
        for piece in input.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.next(&mut buffer) {
                    Ok(None) => break,
                    Ok(Some(websocket::Event::Data { first, last, payload })) => {
                        if first {
                            told.mark("first".to_owned());
                        }
                        told.bytes(0, &payload);
                        if last {
                            told.mark("last".to_owned());
                        }
                    }
                    Ok(Some(other)) => told.mark(format!("{other:?}")),
                    Err(error) => {
                        told.mark(error.to_string());
                        return told;
                    }
                }
            }
        }
        told
    };
    let whole = decode(input, input.len().max(1));
    assert!(whole.bytes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= input.len());
    assert_eq!(whole, decode(input, 1 + input.len() % 7), "whatever the pieces");
    // A frame of the server, masked as one of a client's.
    let frame = websocket::frame(websocket::Opcode::Binary, &[input]);
    let head = frame.len() - input.len();
    let mut masked = frame[..head].to_vec();
    masked[1] |= 0x80;
    let mask = [input.first().copied().unwrap_or_default(), 1, 2, 3];
    masked.extend_from_slice(&mask);
    masked.extend(input.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
    let read: Vec<u8> = decode(&masked, 1_000).bytes.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(read, input, "what is framed is read back");
}

/// Frames of a runtime: the same in whatever pieces they come, and what is framed is read back.
pub(super) fn spdy(input: &[u8]) {
    let decode = |input: &[u8], size: usize| {
        let (mut decoder, mut buffer, mut told) =
            (spdy::Decoder::default(), BytesMut::new(), Told::default());
        for piece in input.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.next(&mut buffer) {
                    Ok(None) => break,
                    Ok(Some(spdy::Event::Data { stream, last, payload })) => {
                        told.bytes(stream, &payload);
                        if last {
                            told.mark(format!("last of {stream}"));
                        }
                    }
                    Ok(Some(other)) => told.mark(format!("{other:?}")),
                    Err(error) => {
                        told.mark(error.to_string());
                        return told;
                    }
                }
            }
        }
        told
    };
    let whole = decode(input, input.len().max(1));
    assert!(whole.bytes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= input.len());
    assert_eq!(whole, decode(input, 1 + input.len() % 7), "whatever the pieces");
    let mut framed = spdy::data_head(5, input.len(), true).to_vec();
    framed.extend_from_slice(input);
    framed.extend_from_slice(&spdy::ping(7));
    let read = decode(&framed, 1_000);
    assert!(read.bytes.iter().all(|(stream, bytes)| *stream == 5 && bytes == input));
    assert_eq!(read.marks.len(), 2);
}
