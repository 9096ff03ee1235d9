package pderr

import (
	"strings"

	"google.golang.org/grpc/codes"
)

// ofPD are fragments, in lower case, of texts that only PD or the etcd in it sends, whatever they say.
var ofPD = [...]string{"[pd:", "generate timestamp failed", "etcdserver"}

// Misdirected reports whether a gRPC call or stream ended with what cannot come from the member that it was meant for: that
// the server belongs to another cluster or is another process, or a status that no PD gives, as of a service that has got
// the address of a member that is gone. Another connection may lead to the member.
//
// A status that may also come from the transport, such as Unavailable, is no sign of it.
func Misdirected(err error) bool {
	st, isStatus := statusOf(err)
	if !isStatus {
		return false
	}
	switch Classify(err) {
	case ClusterMismatch, CalleeMismatch, Auth, Unimplemented:
		return true
	default:
	}
	switch st.Code() {
	case codes.OK, codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return false
	default:
		return !saysPD(st.Message())
	}
}

// OfPD reports whether a gRPC call or stream ended with words that a member of the right cluster uses.
func OfPD(err error) bool {
	st, isStatus := statusOf(err)
	return isStatus && saysPD(st.Message()) && !Misdirected(err)
}

// saysPD reports whether a text is one of PD's.
func saysPD(text string) bool {
	if classifyText(text) != Unknown {
		return true
	}
	text = strings.ToLower(text[:min(len(text), maxText)])
	for _, fragment := range ofPD {
		if strings.Contains(text, fragment) {
			return true
		}
	}
	return false
}
