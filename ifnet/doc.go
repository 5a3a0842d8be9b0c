// Package ifnet is the interface layer of a poll-mode dataplane: which interfaces there
// are, their flags and addresses, and the calls that change them. It is modelled on DragonFly
// BSD's net/if.c, a kernel in which every CPU keeps a copy of every interface address. What
// that does for a kernel this package does for a process, over its poll cores.
//
// # Model
//
// A [System] is an interface layer. Control, which is any goroutine whose turn it is, owns
// its interfaces. Each poll core owns a [Replica]: its own lists of all interfaces and
// addresses. Lookups ([Replica.WithAddr], [Replica.WithNet], [Replica.BestOf], …) are
// methods of that replica, touch memory that only its core writes, take no lock and
// allocate nothing. Control has a replica of its own.
//
// Whatever cores can see changes by a message that makes the round: core 0, then core 1,
// up to the last, and then control. Each changes its own lists only, between two bursts; the
// caller waits. What is shared by cores never changes in place: an [Address] and a
// [State] are made once, and replaced.
//
// An address has a [Container] on every core, with that core's count of references. When a
// core has none left its container is dead, and when the last core has let go the address
// is gone. [System.Down] and [System.Detach] wait for the cores: when they return, no core works
// on a frame of the interface, and after Detach none has a pointer of it.
//
// Interfaces come by [System.Attach], or by name from a kind ([Control.Create]). What a driver
// can do it says by the powers it has (FlagSetter, MTUSetter, …). [Control] has the typed
// calls of ifioctl, with the caller's privilege; [Control.Set] makes several changes, all or
// nothing. Errors are of type [Error] and wrap the errno that BSD returns. Changes are events
// that any number of listeners follow, [System.Listen].
//
// The package knows neither the dataplane nor the route tables. It states what it needs of
// them, as [Cores], [Barrier], [Polling] and [Routes], and the program wires these.
// docs/ifnet.md says function by function what became of if.c.
//
// # Concurrency
//
// Methods of System, Control and Interface may be called from any goroutine; they take turns.
// They may not be called on a poll core, nor from what they call themselves: drivers,
// domains, cloners and handlers. A Replica, and the Views, Containers and Routes that come
// from it, belong to their core; System.Bind hands each core its own, on that core. A build
// with the tag pmddebug panics when another goroutine uses one. A [Listener] belongs to one
// goroutine.
//
// # Limitations
//
// A driver's call that blocks holds up every other call, though no core. Control's calls wait
// for every core: a core whose stage never returns holds them up. There is no address
// autoconfiguration, no duplicate address detection and no ARP here: protocols hang on as a
// [Domain]. The lookups walk lists, as the seed's do: their time grows with the number
// of addresses.
package ifnet
