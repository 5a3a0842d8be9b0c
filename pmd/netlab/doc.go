// Package netlab is the bench on which the dataplane is demonstrated, tested
// and measured: network namespaces, veth pairs between them, a traffic
// generator that runs in the kernel, sinks that count, and traffic checks that
// use the kernel's own protocol stacks.
//
// # Model
//
// A [Lab] owns everything that is made through it and removes it again in
// [Lab.Close], last made first. Names begin with a random part, so labs of
// several processes live side by side.
//
// A [Namespace] is a network namespace. It is held by an open descriptor, so
// it lasts as long as the lab, and it is bind-mounted under /run/netns where
// the machine allows that, so that `ip netns exec` can look into it. A socket
// belongs for life to the namespace it was made in: [Namespace.Do] runs a
// function inside, and what that function opens may be used anywhere.
//
// [Lab.Veth] makes a pair of interfaces that is ready to carry frames when it
// returns. Offloads are off by default: with them on, a veth hands over frames
// whose checksum is unfinished, and segments longer than the MTU. Neither is
// what a wire would carry, and neither survives being forwarded as bytes.
//
// A [Generator] makes frames inside the kernel and sends them out of one end
// of a pair at several million a second from one core. A [Sink] counts the
// frames that arrive at an interface, in the driver. Both count exactly, so
// that a test can ask for equality and not for "about as many".
//
// [Ping], [TCPTransfer] and [UDPNumbered] drive real stacks in two namespaces
// through whatever lies between them, and check every byte that comes out.
//
// # Concurrency
//
// A Lab, its namespaces and its pairs may be used from several goroutines. A
// Generator has one run at a time; starting a second is an error. Close may be
// called at any time, also twice, and from any goroutine. Namespaces belong to
// threads: a function given to Do must not start goroutines and expect them to
// be inside.
//
// # Limitations
//
// Linux only, and root (CAP_SYS_ADMIN for namespaces, CAP_NET_ADMIN and
// CAP_BPF for the rest); [Check] tells what is missing. The generator needs
// Linux 5.18, and so do the sinks. On other systems every call returns an
// error that wraps [errors.ErrUnsupported].
//
// A process that is killed with SIGKILL leaves its named namespaces behind
// (`ip netns list`, `ip netns delete NAME`). The folder /run/netns and its
// shared mount, made if they are missing, are left in place as `ip netns add`
// leaves them.
//
// An interface with an IPv6 address reports its multicast groups (MLD, RFC
// 3810), which cannot be switched off: a count of all frames there is not a
// count of the test's own. Interfaces without one have IPv6 disabled and are
// silent.
package netlab
