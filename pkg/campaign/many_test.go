package campaign

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	// maxCampaignAllocation is what a campaign of a few lines with one condition may allocate while a directory is read. It is 44 KB where it
	// was measured, most of it in YAML and CEL, whether there are a hundred or ten thousand.
	maxCampaignAllocation = 80 << 10
	// maxOrderAllocation is the same for one order of such a campaign, which is parsed again for it and has its condition joined: 87 KB.
	maxOrderAllocation = 160 << 10
)

// aThing is a file of a small campaign; as a dish it has a parameter.
func aThing(i int, dish bool) *fstest.MapFile {
	parameters, number := "", "3"
	if dish {
		parameters, number = "parameters: {number: {type: whole, default: 3}}\n", `"${number}"`
	}
	return &fstest.MapFile{Data: fmt.Appendf(nil,
		"campaign: c%d\nversion: 1\nstarts: 2026-01-01\n%sgoal: {count: %s, of: type-%d, where: event.data.x == %d}\nreward: {kind: points}\n", i, parameters, number, i%100, i)}
}

// aDirectory has so many campaigns.
func aDirectory(campaigns int) fstest.MapFS {
	files := fstest.MapFS{}
	for i := range campaigns {
		files[fmt.Sprintf("c%d.yaml", i)] = aThing(i, false)
	}
	return files
}

// aMenu has so many dishes, and as many sponsors who order each of them.
func aMenu(dishes int) fstest.MapFS {
	files := fstest.MapFS{}
	var orders strings.Builder
	for i := range dishes {
		files[fmt.Sprintf("c%d.yaml", i)] = aThing(i, true)
		fmt.Fprintf(&orders, "  - {use: c%d, set: {number: 4}}\n", i)
	}
	for i := range dishes {
		files[fmt.Sprintf("s%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "sponsor: s%d\nversion: 1\ncovers: user.x == %d\ncampaigns:\n%s", i, i, orders.String())}
	}
	return files
}

// loaded loads so many campaigns, and returns how many bytes each allocated.
func loaded(t *testing.T, files fstest.MapFS, campaigns int) uint64 {
	t.Helper()
	if raceDetector {
		t.Skip("allocations can't be counted with the race detector, and it takes a minute")
	}
	var set *Set
	var err error
	n := allocated(func() { set, err = Load(files, ".") }) / uint64(campaigns) //nolint:gosec // above 0
	if err != nil {
		t.Fatal(err)
	}
	if got := len(set.Campaigns()); got != campaigns {
		t.Fatalf("%d campaigns are in force, not %d", got, campaigns)
	}
	t.Logf("%d campaigns: %d bytes each", campaigns, n)
	return n
}

func TestTenThousandCampaignsAllocateAsMuchEachAsAHundred(t *testing.T) {
	few, many := loaded(t, aDirectory(100), 100), loaded(t, aDirectory(maxCampaigns), maxCampaigns)
	if many > maxCampaignAllocation || many > 2*few {
		t.Errorf("each of %d campaigns allocates %d bytes, each of 100 %d", maxCampaigns, many, few)
	}
	_, err := Load(aDirectory(maxCampaigns+1), ".")
	const want = "read campaigns in .: there are 10001 campaign files, at most 10000 are read: delete those of what has ended"
	if err == nil || err.Error() != want {
		t.Errorf("of one campaign more it is said: %v", err)
	}
}

func TestAHundredSponsorsAllocateAsMuchAnOrderAsTen(t *testing.T) {
	few, many := loaded(t, aMenu(10), 10*10), loaded(t, aMenu(100), 100*100)
	if many > maxOrderAllocation || many > 2*few {
		t.Errorf("each order of 100 x 100 allocates %d bytes, each of 10 x 10 %d", many, few)
	}
}

// Campaigns of files and of orders are counted together.
func TestOneOrderTooManyIsAMistake(t *testing.T) {
	files := aMenu(3)
	for i := range maxCampaigns - 6 {
		files[fmt.Sprintf("empty%d.yaml", i)] = &fstest.MapFile{} // a mistake, which counts as well and costs less
	}
	_, err := Load(files, ".")
	var mistakes Mistakes
	if !errors.As(err, &mistakes) {
		t.Fatal(err)
	}
	const want = "s2.yaml:5:11: with this order there are 10001 campaigns, at most 10000 can be in force: order fewer"
	if last := mistakes[len(mistakes)-1].Error(); last != want || len(mistakes) != maxCampaigns-6+1 {
		t.Errorf("%d mistakes, the last: %s", len(mistakes), last)
	}
}

// A line orders a campaign, and one that is ordered again and again is not made again: that would cost what its file does each time.
func TestAnOrderThatStandsTwiceCostsALine(t *testing.T) {
	const times = 5000
	files := aMenu(1)
	files["s0.yaml"] = &fstest.MapFile{Data: []byte("sponsor: s\nversion: 1\ncovers: user.x == 1\ncampaigns:\n" + strings.Repeat("  - {use: c0}\n", times))}
	var err error
	n := allocated(func() { _, err = Load(files, ".") }) / times
	var mistakes Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) != times-1 {
		t.Errorf("%d mistakes, not %d", len(mistakes), times-1)
	}
	if t.Logf("%d bytes each", n); n > maxOrderAllocation/10 {
		t.Errorf("each allocates %d bytes", n)
	}
}
