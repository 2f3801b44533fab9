package startest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// text is the report on a file in the form of go test.
func (f *FileResult) text(verbose bool) string {
	var b strings.Builder
	for _, t := range f.Tests {
		if verbose {
			t.running(&b)
		}
		if verbose || t.Failed() {
			t.ended(&b, "", verbose)
		}
	}
	elapsed := fmt.Sprintf("%.2fs", f.Elapsed.Seconds())
	switch {
	case f.Err != "":
		fmt.Fprintf(&b, "%sFAIL\t%s [cannot be read]\n", f.Err, f.Path)
	case f.Failed():
		fmt.Fprintf(&b, "FAIL\nFAIL\t%s\t%s\n", f.Path, elapsed)
	case f.None:
		fmt.Fprintf(&b, "?   \t%s\t[no tests]\n", f.Path)
	case len(f.Tests) == 0:
		fmt.Fprintf(&b, "ok  \t%s\t%s [no tests to run]\n", f.Path, elapsed)
	default:
		if verbose {
			b.WriteString("PASS\n")
		}
		fmt.Fprintf(&b, "ok  \t%s\t%s\n", f.Path, elapsed)
	}
	return b.String()
}

// running shows a test as it went.
func (r *Result) running(b *strings.Builder) {
	fmt.Fprintf(b, "=== RUN   %s\n", r.Name)
	for _, e := range r.Events {
		if e.Sub != nil {
			e.Sub.running(b)
		} else {
			b.WriteString(indent(e.Text, "    "))
		}
	}
}

// ended shows how a test and those within it ended. What they printed has been shown
// before when all is shown.
func (r *Result) ended(b *strings.Builder, pad string, verbose bool) {
	fmt.Fprintf(b, "%s--- %s: %s (%.2fs)\n", pad, r.Status, r.Name, r.Elapsed.Seconds())
	for _, e := range r.Events {
		switch {
		case e.Sub == nil && !verbose:
			b.WriteString(indent(e.Text, pad+"    "))
		case e.Sub != nil && (verbose || e.Sub.Failed()):
			e.Sub.ended(b, pad+"    ", verbose)
		}
	}
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(by + line)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		b.WriteByte('\n')
	}
	return b.String()
}

// The elements of JUnit's XML, as CI servers read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
		Skipped *junitMessage `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit's XML: a suite for each file, a case for each test
// and each test within one.
func (r *Report) WriteJUnit(w io.Writer) error {
	var all junitSuites
	for _, f := range r.Files {
		if f == nil {
			continue
		}
		s := junitSuite{Name: f.Path, Time: seconds(f.Elapsed)}
		if f.Err != "" {
			s.add(junitCase{Class: f.Path, Name: f.Path, Time: seconds(f.Elapsed), Error: &junitMessage{firstLine(f.Err), clean(f.Err)}})
		}
		for _, t := range f.Tests {
			s.result(f.Path, t)
		}
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) result(class string, r *Result) {
	c := junitCase{Class: class, Name: r.Name, Time: seconds(r.Elapsed)}
	text := ""
	for _, e := range r.Events {
		text += e.Text
	}
	switch r.Status {
	case Fail:
		why := firstLine(r.Failure)
		if why == "" {
			why = "a test within it failed"
		}
		c.Failure = &junitMessage{why, clean(text)}
	case Skip:
		c.Skipped = &junitMessage{Message: firstLine(text)}
	default:
		c.Out = clean(text)
	}
	s.add(c)
	for _, e := range r.Events {
		if e.Sub != nil {
			s.result(class, e.Sub)
		}
	}
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return clean(s)
}

// clean leaves out what XML cannot hold: the encoder would write U+FFFD for each byte.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
