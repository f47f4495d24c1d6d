//go:build nginx

// Tests with a real nginx: the one that NGINX_BINARY names, or the one on PATH. The cluster is client-go's fake, which keeps
// objects and sends watches as a server does; what it can't prove is the controller's rights and the server's own checks.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

const patience = 20 * time.Second

func nginxBinary(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath(cmp.Or(os.Getenv("NGINX_BINARY"), "nginx"))
	if err != nil {
		t.Fatalf("these tests need nginx: put it on PATH or name it in NGINX_BINARY: %v", err)
	}
	return binary
}

// rig is a controller that runs on a fake cluster with a real nginx.
type rig struct {
	*controller
	t      *testing.T
	client *fake.Clientset
	cancel context.CancelFunc
	// done gets what run returned.
	done chan error
}

func newRig(t *testing.T, dir string, objects ...runtime.Object) *rig {
	t.Helper()
	r := &rig{t: t, client: fake.NewClientset(append(objects, aClass())...), done: make(chan error, 1)}
	o := options{
		class: "nginx", address: published, nginx: nginxBinary(t), health: "127.0.0.1:" + strconv.Itoa(freePort(t)),
		place: place{Dir: dir, HTTPPort: freePort(t), HTTPSPort: freePort(t)},
	}
	var err error
	if r.controller, err = newController(r.client, o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- r.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	r.await("ready", func() bool {
		response, err := http.Get("http://" + r.health + "/healthz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == 200
	})
	return r
}

// end stops the controller, and tells what it returned.
func (r *rig) end() error {
	r.cancel()
	err := <-r.done
	r.done <- err
	return err
}

func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-r.done:
			r.done <- err
			r.t.Fatalf("the controller ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not %s within %s", what, patience)
		}
	}
}

// add creates an Ingress, and waits until its address is published: from then on it is to be served.
func (r *rig) add(ingress *networkingv1.Ingress) {
	r.t.Helper()
	ingresses := r.client.NetworkingV1().Ingresses("default")
	if _, err := ingresses.Create(r.t.Context(), ingress, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
	r.await("published", func() bool {
		now, err := ingresses.Get(r.t.Context(), ingress.Name, metav1.GetOptions{})
		return err == nil && len(now.Status.LoadBalancer.Ingress) == 1
	})
}

func (r *rig) setEndpoints(slice *discoveryv1.EndpointSlice) {
	r.t.Helper()
	if _, err := r.client.DiscoveryV1().EndpointSlices("default").Update(r.t.Context(), slice, metav1.UpdateOptions{}); err != nil {
		r.t.Error(err)
	}
}

// browser sends every request to nginx, and follows no redirect. Connections are kept open if nginx lets it.
func (r *rig) browser(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			to := r.at.HTTPPort
			if port == strconv.Itoa(r.at.HTTPSPort) || port == "443" {
				to = r.at.HTTPSPort
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(to))
		},
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 16,
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// pod is a server on a loopback address of its own, as a pod has one; it tells of each request what came.
type pod struct {
	address string
	server  *http.Server
	posts   sync.Map
	doubled atomic.Int64
	hold    chan struct{}
}

type echo struct {
	Pod, Path, Host string
	Header          http.Header
	Body            string
}

func (p *pod) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	if request.Header.Get("Upgrade") == "echo" {
		p.upgrade(response)
		return
	}
	body, _ := io.ReadAll(request.Body)
	if _, seen := p.posts.LoadOrStore(string(body), true); seen && request.Method == http.MethodPost {
		p.doubled.Add(1)
	}
	if request.URL.Path == "/slow" {
		p.hold <- struct{}{}
		<-p.hold
	}
	response.Header().Set("Strict-Transport-Security", "max-age=1")
	_ = json.NewEncoder(response).Encode(echo{p.address, request.URL.Path, request.Host, request.Header, string(body)})
}

// upgrade leaves HTTP, and sends a line back as it came.
func (p *pod) upgrade(response http.ResponseWriter) {
	connection, buffer, err := http.NewResponseController(response).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	fmt.Fprint(buffer, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	buffer.Flush()
	line, _ := buffer.ReadString('\n')
	fmt.Fprint(buffer, line)
	buffer.Flush()
}

// newPod starts a pod at 127.0.1.<number>.
func newPod(t *testing.T, number int, port int32) *pod {
	t.Helper()
	p := &pod{address: fmt.Sprintf("127.0.1.%d", number), hold: make(chan struct{})}
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", p.address, port))
	if err != nil {
		t.Fatal(err)
	}
	p.server = &http.Server{Handler: p}
	go func() { _ = p.server.Serve(listener) }()
	t.Cleanup(func() { p.server.Close() })
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// aDir is one that nginx's workers can reach, which t.TempDir is not.
func aDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ingress-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ask(t *testing.T, browser *http.Client, method, url, body string) (*http.Response, echo) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Forwarded-For", "203.0.113.9")
	response, err := browser.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer echo
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == 200 {
		if err := json.Unmarshal(content, &answer); err != nil {
			t.Fatalf("%v: %s", err, content)
		}
	}
	return response, answer
}

func TestNginxServes(t *testing.T) {
	port := int32(freePort(t))
	newPod(t, 1, port)
	newPod(t, 2, port)
	chain, key := aPair(t, "secure.test")
	r := newRig(t, aDir(t),
		aService("web", "http:80"), aSlice("web", "http", port, "127.0.1.1"),
		aService("api", "http:80"), aSlice("api", "http", port, "127.0.1.2"),
		aService("idle", "http:80"),
		aSecret("pair", chain, key),
	)
	plain := r.browser(nil)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	trusting := r.browser(roots)

	if response, _ := ask(t, plain, "GET", "http://a.test/", ""); response.StatusCode != 404 {
		t.Errorf("without an Ingress: %s", response.Status)
	}
	r.add(anIngress("a", 1, rule("a.test", "Prefix / web:80", "Prefix /api api:80", "Exact /exact api:80", "Exact /dir/ api:80",
		"Prefix /idle idle:80")))
	// As long as a host may be, and every character that a path may have.
	long := strings.Repeat(strings.Repeat("a", 61)+".", 4) + "test"
	r.add(anIngress("odd", 2, rule(long, "Exact /~Az09._@:!+,=&()*- web:80")))
	r.add(anIngress("wild", 2, rule("*.a.test", "Prefix /api api:80")))
	r.add(anIngress("secure", 3, rule("secure.test", "Prefix / web:80"), withTLS("pair", "secure.test")))
	r.add(anIngress("forced", 4, rule("forced.test", "Prefix / web:80"), annotated("force-ssl-redirect", "true")))
	r.add(anIngress("small", 5, rule("small.test", "Prefix / web:80"), annotated("proxy-body-size", "1k")))
	r.add(anIngress("slow", 6, rule("limited.test", "Prefix / web:80"), annotated("limit-rps", "1")))
	r.add(anIngress("bad", 7, rule("bad.test", "Prefix / web:80"), annotated("proxy-body-size", "1k; }")))

	httpsPort := strconv.Itoa(r.at.HTTPSPort)
	for _, c := range []struct {
		url    string
		status int
		pod    string
	}{
		{"http://a.test/", 200, "127.0.1.1"},
		{"http://A.TEST/", 200, "127.0.1.1"},
		{"http://a.test/x?y=z", 200, "127.0.1.1"},
		{"http://a.test/api", 200, "127.0.1.2"},
		{"http://a.test/api/", 200, "127.0.1.2"},
		{"http://a.test/api/x/y", 200, "127.0.1.2"},
		{"http://a.test/apis", 200, "127.0.1.1"},
		{"http://a.test/API", 200, "127.0.1.1"},
		{"http://a.test/exact", 200, "127.0.1.2"},
		{"http://a.test/exact/", 200, "127.0.1.1"},
		{"http://a.test/dir/", 200, "127.0.1.2"},
		{"http://a.test/dir", 200, "127.0.1.1"},
		{"http://a.test/idle", 503, ""},
		{"http://x.a.test/api", 200, "127.0.1.2"},
		{"http://x.a.test/", 404, ""},
		{"http://y.x.a.test/api", 404, ""},
		{"http://" + long + "/~Az09._@:!+,=&()*-", 200, "127.0.1.1"},
		{"http://" + long + "/", 404, ""},
		{"http://nobody.test/", 404, ""},
		{"http://192.0.2.7/", 404, ""},
		{"http://bad.test/", 200, "127.0.1.1"},
		{"http://secure.test/", 308, ""},
		{"http://forced.test/", 308, ""},
	} {
		response, answer := ask(t, plain, "GET", c.url, "")
		if response.StatusCode != c.status || answer.Pod != c.pod {
			t.Errorf("%s: got %s from %q, want %d from %q", c.url, response.Status, answer.Pod, c.status, c.pod)
		}
		if server := response.Header.Get("Server"); c.status != 200 && server != "nginx" {
			t.Errorf("%s: Server is %q, want no version", c.url, server)
		}
	}

	t.Run("headers", func(t *testing.T) {
		_, answer := ask(t, plain, "GET", "http://a.test/", "")
		for name, want := range map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a.test", "X-Real-Ip": "127.0.0.1",
			"Connection": "", "Upgrade": "",
		} {
			if got := strings.Join(answer.Header.Values(name), "|"); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if answer.Host != "a.test" {
			t.Errorf("Host: got %q", answer.Host)
		}
	})
	t.Run("bodies", func(t *testing.T) {
		long := strings.Repeat("score ", 20_000)
		if _, answer := ask(t, plain, "POST", "http://a.test/highscores", long); answer.Body != long {
			t.Errorf("%d of %d bytes came", len(answer.Body), len(long))
		}
		for url, size := range map[string]int{"http://a.test/": 1<<20 + 1, "http://small.test/": 1025} {
			if response, _ := ask(t, plain, "POST", url, strings.Repeat("x", size)); response.StatusCode != 413 {
				t.Errorf("%s, %d bytes: %s", url, size, response.Status)
			}
			if response, _ := ask(t, plain, "POST", url, strings.Repeat("x", size-1)); response.StatusCode != 200 {
				t.Errorf("%s, %d bytes: %s", url, size-1, response.Status)
			}
		}
	})
	t.Run("TLS", func(t *testing.T) {
		response, _ := ask(t, plain, "GET", "http://secure.test/x?y=z", "")
		if got, want := response.Header.Get("Location"), "https://secure.test:"+httpsPort+"/x?y=z"; got != want {
			t.Errorf("redirect to %s, want %s", got, want)
		}
		response, answer := ask(t, trusting, "GET", "https://secure.test:"+httpsPort+"/", "")
		if answer.Header.Get("X-Forwarded-Proto") != "https" || answer.Host != "secure.test:"+httpsPort {
			t.Errorf("got %+v", answer)
		}
		if got := strings.Join(response.Header.Values("Strict-Transport-Security"), "|"); got != "max-age=31536000; includeSubDomains" {
			t.Errorf("HSTS is %q", got)
		}
		var unknown x509.HostnameError
		if _, err := trusting.Get("https://a.test:" + httpsPort + "/"); !errors.As(err, &unknown) {
			t.Errorf("a host without TLS: %v", err)
		}
	})
	t.Run("limit", func(t *testing.T) {
		statuses := map[int]int{}
		for range 20 {
			response, _ := ask(t, plain, "GET", "http://limited.test/", "")
			statuses[response.StatusCode]++
		}
		// The burst is 5, and 20 requests may take some seconds on a slow machine.
		if statuses[200] < 6 || statuses[503] == 0 || len(statuses) != 2 {
			t.Errorf("got %v", statuses)
		}
	})
	t.Run("upgrade", func(t *testing.T) {
		connection, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(r.at.HTTPPort))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(connection, "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		reader := bufio.NewReader(connection)
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != 101 {
			t.Fatalf("got %v, %v", response, err)
		}
		fmt.Fprint(connection, "waka waka\n")
		if line, err := reader.ReadString('\n'); line != "waka waka\n" {
			t.Errorf("got %q, %v", line, err)
		}
	})
	t.Run("a bad annotation is told", func(t *testing.T) {
		r.await("told", func() bool {
			events, err := r.client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
			return err == nil && slices.ContainsFunc(events.Items, func(event corev1.Event) bool {
				return event.InvolvedObject.Name == "bad" && event.Reason == "InvalidAnnotation"
			})
		})
	})
	t.Run("keys are for root alone", func(t *testing.T) {
		files, err := filepath.Glob(r.at.Dir + "/certificates/*")
		if err != nil || len(files) != 2 {
			t.Fatalf("got %v, %v", files, err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info, err)
			}
		}
	})
	t.Run("an Ingress that leaves the class", func(t *testing.T) {
		ingresses := r.client.NetworkingV1().Ingresses("default")
		ingress, err := ingresses.Get(t.Context(), "a", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ingress.Spec.IngressClassName = ptr("other")
		if _, err := ingresses.Update(t.Context(), ingress, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.await("withdrawn", func() bool {
			now, err := ingresses.Get(t.Context(), "a", metav1.GetOptions{})
			return err == nil && len(now.Status.LoadBalancer.Ingress) == 0
		})
		if response, _ := ask(t, plain, "GET", "http://a.test/", ""); response.StatusCode != 404 {
			t.Errorf("still served: %s", response.Status)
		}
	})
}

// Pods come and go as in rolling updates, one of those listed is dead all the time, and no request may fail or come twice.
func TestNginxRefusesNoRequestWhilePodsComeAndGo(t *testing.T) {
	const (
		requests = 2000
		clients  = 8
		updates  = 24
	)
	port := int32(freePort(t))
	dead := "127.0.1.99" // Listed, but nobody listens: a pod that crashed just now.
	first := newPod(t, 10, port)
	r := newRig(t, aDir(t), aService("web", "http:80"), aSlice("web", "http", port, first.address, dead))
	r.add(anIngress("a", 1, rule("a.test", "Prefix / web:80")))
	pods := []*pod{first}
	browser := r.browser(nil)

	var sent, updated atomic.Int64
	var failures sync.Map
	var clientsDone sync.WaitGroup
	for client := range clients {
		clientsDone.Go(func() {
			// At least so many requests, and as long as there are updates; bounded all the same.
			for i := 0; i < requests/clients || updated.Load() < updates && i < 10*requests; i++ {
				method, body := "GET", ""
				if i%2 == 0 {
					method, body = "POST", fmt.Sprintf("score %d of client %d", i, client)
				}
				request, _ := http.NewRequestWithContext(t.Context(), method, "http://a.test/", strings.NewReader(body))
				// Go's client would try some requests again by itself; the failure would not be seen.
				request.GetBody = nil
				response, err := browser.Do(request)
				switch {
				case err != nil:
					failures.Store(fmt.Sprintf("%s %d of %d", method, i, client), err.Error())
				case response.StatusCode != 200:
					failures.Store(fmt.Sprintf("%s %d of %d", method, i, client), response.Status)
				default:
					var answer echo
					if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Body != body {
						failures.Store(fmt.Sprintf("%s %d of %d", method, i, client), fmt.Sprint(answer, err))
					}
				}
				if response != nil {
					response.Body.Close()
				}
				sent.Add(1)
			}
		})
	}
	for i := range updates {
		before, old := r.workerIDs(), pods[len(pods)-1]
		next := newPod(t, 11+i, port)
		pods = append(pods, next)
		r.setEndpoints(aSlice("web", "http", port, next.address, dead, old.address+" leaving"))
		// What a pod's pause before SIGTERM is for: those who still ask it come to an end.
		r.await("rid of the old workers", func() bool {
			return !slices.ContainsFunc(before, func(pid int) bool { return title(pid) != "" })
		})
		// As Pacman does on SIGTERM: the listener goes at once, and so do connections without a request.
		if err := old.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		updated.Add(1)
	}
	clientsDone.Wait()

	failed := map[any]any{}
	failures.Range(func(key, value any) bool { failed[key] = value; return true })
	posts := map[any]int{}
	for _, each := range pods {
		each.posts.Range(func(body, _ any) bool { posts[body]++; return true })
		if doubled := each.doubled.Load(); doubled > 0 {
			t.Errorf("%d requests came twice to pod %s", doubled, each.address)
		}
	}
	delete(posts, "") // The GETs.
	for body, pods := range posts {
		if pods > 1 {
			t.Errorf("%q came to %d pods", body, pods)
		}
	}
	if len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %v", len(failed), sent.Load(), failed)
	}
	t.Logf("%d requests, %d posts, %d updates", sent.Load(), len(posts), updates)
	if sent.Load() < requests || len(posts) < requests/3 {
		t.Error("too few requests to tell")
	}
}

// workerIDs is for the test's own goroutine: nginx's process id is read from its file.
func (r *rig) workerIDs() []int {
	content, err := os.ReadFile(r.at.PIDFile())
	if err != nil {
		r.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(group(pid), func(pid int) bool { return !isWorker(title(pid)) })
}

func (r *rig) mainID() int {
	of, err := syscall.Getpgid(r.workerIDs()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return of
}

func TestNginxEndsARunningRequestBeforeItStops(t *testing.T) {
	port := int32(freePort(t))
	slow := newPod(t, 50, port)
	r := newRig(t, aDir(t), aService("web", "http:80"), aSlice("web", "http", port, slow.address))
	r.add(anIngress("a", 1, rule("a.test", "Prefix / web:80")))
	main := r.mainID()
	answered := make(chan error, 1)
	go func() {
		response, err := r.browser(nil).Get("http://a.test/slow")
		if err == nil && response.StatusCode != 200 {
			err = errors.New(response.Status)
		}
		answered <- err
	}()
	<-slow.hold
	r.cancel()
	r.await("refusing", func() bool {
		connection, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(r.at.HTTPPort))
		if err == nil {
			connection.Close()
		}
		return err != nil
	})
	slow.hold <- struct{}{}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if left := group(main); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNginxThatEndsEndsTheController(t *testing.T) {
	r := newRig(t, aDir(t))
	main := r.mainID()
	if err := syscall.Kill(main, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.done:
		r.done <- err
		if err == nil || !strings.Contains(err.Error(), "nginx ended: signal: killed") {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the controller goes on")
	}
	if left := group(main); len(left) > 0 {
		t.Errorf("workers that hold the ports: %v", left)
	}
}

// Workers that outlived both the main process and the controller hold the ports.
func TestNginxOfAnEarlierStartIsEndedFirst(t *testing.T) {
	dir := aDir(t)
	at := place{Dir: dir, HTTPPort: freePort(t), HTTPSPort: freePort(t)}
	fallback, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	config, err := render(model{Hosts: []host{{}}}, fallback, at)
	if err != nil {
		t.Fatal(err)
	}
	earlier := newNginx(nginxBinary(t), at)
	t.Cleanup(earlier.stop)
	if err := earlier.apply(config, []*certificate{fallback}); err != nil {
		t.Fatal(err)
	}
	orphans := earlier.workers()
	if err := syscall.Kill(earlier.main, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-earlier.exited
	if left := group(earlier.main); len(left) != len(orphans) {
		t.Fatalf("of the workers %v are left %v", orphans, left)
	}
	later := newNginx(nginxBinary(t), at)
	t.Cleanup(later.stop)
	if err := later.apply(config, []*certificate{fallback}); err != nil {
		t.Fatal(err)
	}
	if left := group(earlier.main); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNginxKeepsItsConfigWhenANewOneIsRefused(t *testing.T) {
	at := place{Dir: aDir(t), HTTPPort: freePort(t), HTTPSPort: freePort(t)}
	fallback, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	config, err := render(model{Hosts: []host{{}}}, fallback, at)
	if err != nil {
		t.Fatal(err)
	}
	n := newNginx(nginxBinary(t), at)
	t.Cleanup(n.stop)
	if err := n.apply(config, []*certificate{fallback}); err != nil {
		t.Fatal(err)
	}
	workers := n.workers()
	err = n.apply(append(slices.Clone(config), "nonsense;"...), []*certificate{fallback})
	if err == nil || !strings.Contains(err.Error(), `unknown directive "nonsense"`) {
		t.Errorf("got %v", err)
	}
	if err := n.apply(config, []*certificate{fallback}); err != nil {
		t.Error(err)
	}
	if now := n.workers(); !slices.Equal(now, workers) {
		t.Errorf("a reload for nothing: workers %v, then %v", workers, now)
	}
	if live, err := os.ReadFile(at.Dir + "/nginx.conf"); err != nil || string(live) != string(config) {
		t.Errorf("nginx.conf is not what runs: %v", err)
	}
}
