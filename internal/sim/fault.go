//go:build synctests

package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind is a kind of fault. Its text is what reports and the coverage call it.
type Kind string

// The kinds of faults.
const (
	CrashBefore Kind = "killed before sending" // a request
	CrashAfter  Kind = "killed before the answer to"
	CrashAtDisk Kind = "power cut at" // an operation of the disk
	Kill        Kind = "killed"       // at any moment
	Stop        Kind = "stopped in order"
	LoseStore   Kind = "killed and lost its store"
	OldStore    Kind = "killed and got an old copy of its store"
	AheadStore  Kind = "killed and got a store that is ahead" // as after the topics were put back
	Remove      Kind = "killed and taken out of the group"    // its transaction is open, and nobody waits for its session to end
	Evict       Kind = "taken out of the group while it waits to commit"

	Drop    Kind = "connection cut before sending"
	Lose    Kind = "connection cut before the answer to"
	Unknown Kind = "UNKNOWN_SERVER_ERROR though applied:"
	Late    Kind = "late answer to"
	Reject  Kind = "broker rejects"

	Cut       Kind = "network cut"       // connections end, new ones are refused
	BlackHole Kind = "network goes dark" // nothing arrives and nothing is refused
	Pause     Kind = "paused"            // as by SIGSTOP

	MoveLeaders      Kind = "leaders move"
	MoveCoordinators Kind = "coordinators move"
	Compact          Kind = "topics compacted"

	DiskFull Kind = "disk full"
	DiskSlow Kind = "disk slow"

	ClockJump Kind = "clock jumps"
	Poison    Kind = "poison record"
	Publish   Kind = "campaigns published"
	Recreate  Kind = "topic made anew" // in the end, when all else was judged
)

// Fault is something that goes wrong once.
type Fault struct {
	Kind    Kind
	At      time.Duration // since the load began: it strikes then, or waits from then on for its moment
	Process int           // whose
	Request kmsg.Key      // for those that strike at a request
	Disk    diskOp        // for those that strike at the disk
	Nth     int           // it strikes at the nth such request or operation
	Torn    bool          // of the operation at which the power is cut, half is done
	Kept    int           // percent of what was not synced that a power cut leaves
	Error   *kerr.Error   // what the broker answers
	Times   int           // how often it answers so
	Node    int32         // the broker that can't be reached, -1 for all
	For     time.Duration // how long it lasts, or how long the process is away
	Jump    time.Duration // of the log's clock
	Topic   string        // that is made anew
}

// name is what the coverage counts it under.
func (f Fault) name() string {
	switch f.Kind {
	case CrashBefore, CrashAfter, Drop, Lose, Unknown, Late, Reject:
		return string(f.Kind) + " " + f.Request.Name()
	case CrashAtDisk:
		return string(f.Kind) + " " + string(f.Disk)
	case Recreate:
		return f.Topic + " " + string(f.Kind)
	default:
		return string(f.Kind)
	}
}

// String says all of it, for a report.
func (f Fault) String() string {
	s := fmt.Sprintf("%6.2fs ", f.At.Seconds())
	switch f.Kind {
	case MoveLeaders, MoveCoordinators, Compact, ClockJump, Poison, Publish, Recreate:
	default:
		s += fmt.Sprintf("p%d ", f.Process)
	}
	s += f.name()
	var details []string
	detail := func(format string, args ...any) { details = append(details, fmt.Sprintf(format, args...)) }
	if f.Nth > 1 {
		detail("number %d", f.Nth)
	}
	if f.Error != nil {
		detail("%s, %d times", f.Error.Message, f.Times)
	}
	if f.Kind == CrashAtDisk {
		detail("torn=%t, %d%% of what was not synced stays", f.Torn, f.Kept)
	}
	if f.Kind == Cut || f.Kind == BlackHole {
		if f.Node < 0 {
			detail("all brokers")
		} else {
			detail("broker %d", f.Node)
		}
	}
	if f.For > 0 {
		detail("%s", f.For)
	}
	if f.Jump != 0 {
		detail("by %s", f.Jump)
	}
	if len(details) > 0 {
		s += " (" + strings.Join(details, "; ") + ")"
	}
	return s
}

// strikesBefore says whether a fault strikes before its request is sent.
func (f *Fault) strikesBefore() bool {
	return f.Kind == CrashBefore || f.Kind == Remove || f.Kind == Evict || f.Kind == Drop
}

// strikesAfter says whether a fault strikes when the broker has done what was asked.
func (f *Fault) strikesAfter() bool {
	return f.Kind == CrashAfter || f.Kind == Lose || f.Kind == Unknown || f.Kind == Late
}

// asked are the requests of a processor at which faults strike, in the order in which a life makes them.
var asked = []kmsg.Key{
	kmsg.FindCoordinator, kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch, kmsg.ListOffsets, kmsg.Fetch,
	kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.Heartbeat, kmsg.EndTxn,
}

// transactional are those of them that a transaction consists of: most faults are for them.
var transactional = []kmsg.Key{kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.EndTxn, kmsg.EndTxn}

// rejections are what a broker may answer.
var rejections = map[kmsg.Key][]*kerr.Error{
	kmsg.FindCoordinator: {kerr.CoordinatorNotAvailable},
	kmsg.InitProducerID:  {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions},
	kmsg.JoinGroup:       {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownMemberID},
	kmsg.SyncGroup:       {kerr.RebalanceInProgress, kerr.NotCoordinator},
	kmsg.OffsetFetch:     {kerr.UnstableOffsetCommit, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress},
	kmsg.ListOffsets:     {kerr.NotLeaderForPartition, kerr.LeaderNotAvailable},
	kmsg.Fetch:           {kerr.NotLeaderForPartition, kerr.UnknownLeaderEpoch, kerr.KafkaStorageError},
	kmsg.Produce: {
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.UnknownServerError,
		kerr.InvalidProducerEpoch, kerr.TransactionAbortable, kerr.KafkaStorageError, kerr.OutOfOrderSequenceNumber,
	},
	kmsg.AddOffsetsToTxn: {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions, kerr.InvalidProducerEpoch, kerr.TransactionAbortable},
	kmsg.TxnOffsetCommit: {
		kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RequestTimedOut,
		kerr.InvalidProducerEpoch, kerr.TransactionAbortable, kerr.UnknownServerError,
	},
	kmsg.Heartbeat: {kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.NotCoordinator, kerr.CoordinatorNotAvailable},
	kmsg.EndTxn: {
		kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.ConcurrentTransactions,
		kerr.UnknownServerError, kerr.TransactionAbortable, kerr.InvalidProducerEpoch, kerr.RequestTimedOut,
	},
}

// atRequest are the kinds that strike at a request.
var atRequest = []Kind{CrashBefore, CrashAfter, Drop, Lose, Late, Reject}

// points are all faults that there are, but for their details. The first fault of each scenario is the next of them, so that a run of a few
// hundred seeds has all of them.
var points = func() (points []Fault) {
	for _, k := range atRequest {
		for _, r := range asked {
			points = append(points, Fault{Kind: k, Request: r})
		}
	}
	for _, op := range slices.Compact(slices.Clone(diskOps)) {
		points = append(points, Fault{Kind: CrashAtDisk, Disk: op})
	}
	for _, k := range shares {
		if k.kind != CrashAtDisk && !slices.Contains(atRequest, k.kind) {
			points = append(points, Fault{Kind: k.kind, Request: kmsg.EndTxn})
		}
	}
	return points
}()

// shares say how often a kind is drawn for the faults behind the first.
var shares = []struct {
	kind  Kind
	share int
}{
	{CrashBefore, 10},
	{CrashAfter, 10},
	{CrashAtDisk, 10},
	{Kill, 3},
	{Stop, 6},
	{LoseStore, 3},
	{OldStore, 3},
	{AheadStore, 2},
	{Remove, 3},
	{Drop, 4},
	{Lose, 6},
	{Unknown, 6},
	{Late, 5},
	{Reject, 12},
	{Cut, 5},
	{BlackHole, 3},
	{Pause, 5},
	{MoveLeaders, 3},
	{MoveCoordinators, 3},
	{Compact, 2},
	{DiskFull, 1},
	{DiskSlow, 3},
	{ClockJump, 3},
	{Poison, 3},
	{Publish, 4},
}

// drawPoint draws a fault without its details.
func drawPoint(r *rand.Rand) Fault {
	total := 0
	for _, k := range shares {
		total += k.share
	}
	n := r.IntN(total)
	var f Fault
	for _, k := range shares {
		if n -= k.share; n < 0 {
			f.Kind = k.kind
			break
		}
	}
	f.Request, f.Disk = asked[r.IntN(len(asked))], diskOps[r.IntN(len(diskOps))]
	if r.IntN(2) == 0 {
		f.Request = transactional[r.IntN(len(transactional))]
	}
	return f
}

// atStart are the requests that a life makes when it begins, and seldom later.
var atStart = []kmsg.Key{kmsg.FindCoordinator, kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch, kmsg.ListOffsets}

// detailed draws a fault's details.
func (f Fault) detailed(r *rand.Rand, s *Scenario) Fault {
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(r.Int64N(int64(most-least)))
	}
	f.At, f.Process, f.Node, f.Nth = between(0, s.Load), r.IntN(s.Processes), -1, 1+r.IntN(4)
	if slices.Contains(atStart, f.Request) && r.IntN(2) == 0 {
		f.At, f.Nth = 0, 1+r.IntN(2)
	}
	switch f.Kind {
	case CrashBefore, CrashAfter, Kill, LoseStore, OldStore, AheadStore:
		f.For = between(0, 3*time.Second)
		if r.IntN(4) == 0 {
			f.For = between(10*time.Second, 14*time.Second) // others take over
		}
	case Remove:
		f.Request = kmsg.TxnOffsetCommit                // so that its transaction is open, and says nothing of offsets
		f.For = between(11*time.Second, 14*time.Second) // longer than that transaction's timeout
	case Evict:
		f.Request = kmsg.TxnOffsetCommit
		f.For = between(time.Second, 8*time.Second) // shorter than its transaction's timeout
	case CrashAtDisk:
		f.Torn, f.Kept = r.IntN(2) == 0, []int{0, 50, 100}[r.IntN(3)]
		f.For = between(0, 3*time.Second)
	case Stop:
		f.For = between(0, 6*time.Second)
	case Unknown:
		f.Request = kmsg.EndTxn
	case Late:
		f.For = between(10*time.Millisecond, 12*time.Second)
	case Reject:
		errors := rejections[f.Request]
		f.Error, f.Times = errors[r.IntN(len(errors))], 1+r.IntN(3)
	case Cut, BlackHole:
		if r.IntN(2) == 0 {
			f.Node = r.Int32N(int32(s.Brokers)) //nolint:gosec // few
		}
		f.For = between(100*time.Millisecond, 20*time.Second)
		if r.IntN(4) == 0 {
			f.At = 0
		}
	case Pause:
		f.For = between(8*time.Second, 16*time.Second) // around the session's timeout
	case DiskFull:
		f.For = between(time.Second, 5*time.Second)
	case DiskSlow:
		f.For = between(time.Second, 10*time.Second)
	case ClockJump:
		f.Jump = between(-48*time.Hour, 96*time.Hour)
	default:
	}
	return f
}
