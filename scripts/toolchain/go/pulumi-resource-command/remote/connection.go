// Package remote runs commands and copies files over SSH.
package remote

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	defaultUser           = "root"
	defaultPort           = 22
	defaultDialErrorLimit = 10
	defaultPerDialTimeout = 15
	unlimited             = -1

	// The pause between two attempts grows from the first to the last by this factor.
	firstPause  = 100 * time.Millisecond
	lastPause   = 5 * time.Second
	pauseGrowth = 1.5
)

type endpoint struct {
	User               *string  `pulumi:"user,optional"`
	Password           *string  `pulumi:"password,optional"           provider:"secret"`
	Host               *string  `pulumi:"host"`
	Port               *float64 `pulumi:"port,optional"`
	PrivateKey         *string  `pulumi:"privateKey,optional"         provider:"secret"`
	PrivateKeyPassword *string  `pulumi:"privateKeyPassword,optional" provider:"secret"`
	AgentSocketPath    *string  `pulumi:"agentSocketPath,optional"`
	DialErrorLimit     *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout     *int     `pulumi:"perDialTimeout,optional"`
	HostKey            *string  `pulumi:"hostKey,optional"`
}

func (e *endpoint) setDefaults(annotator infer.Annotator) {
	annotator.SetDefault(&e.User, defaultUser)
	annotator.SetDefault(&e.Port, defaultPort)
	annotator.SetDefault(&e.DialErrorLimit, defaultDialErrorLimit)
	annotator.SetDefault(&e.PerDialTimeout, defaultPerDialTimeout)
}

// Connection says where to connect to, and through which other host if any.
type Connection struct {
	endpoint
	Proxy *ProxyConnection `pulumi:"proxy,optional"`
}

// ProxyConnection is a host that connections go through.
type ProxyConnection struct{ endpoint }

// Annotate gives the defaults of the official plugin.
func (c *Connection) Annotate(annotator infer.Annotator) { c.setDefaults(annotator) }

// Annotate gives the defaults of the official plugin.
func (c *ProxyConnection) Annotate(annotator infer.Annotator) { c.setDefaults(annotator) }

func (e *endpoint) address() string {
	return net.JoinHostPort(*e.Host, strconv.Itoa(int(*e.Port)))
}

// dialErrorLimit is there even in the state of a release that knew no such input.
func (e *endpoint) dialErrorLimit() int {
	if e.DialErrorLimit == nil {
		return defaultDialErrorLimit
	}
	return *e.DialErrorLimit
}

// clientConfig turns the inputs into what the SSH library wants; a key that cannot be read is told at once.
func (e *endpoint) clientConfig() (*ssh.ClientConfig, error) {
	config := &ssh.ClientConfig{
		User:            *e.User,
		Timeout:         time.Duration(*e.PerDialTimeout) * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // as the official plugin does it when no key is given
	}
	if e.HostKey != nil {
		pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*e.HostKey))
		if err != nil {
			return nil, fmt.Errorf("failed to parse host key: %w", err)
		}
		config.HostKeyCallback = ssh.FixedHostKey(pinned)
		config.HostKeyAlgorithms = []string{pinned.Type()}
	}
	if e.PrivateKey != nil {
		signer, err := e.signer()
		if err != nil {
			return nil, err
		}
		config.Auth = append(config.Auth, ssh.PublicKeys(signer))
	}
	if e.Password != nil {
		config.Auth = append(config.Auth, ssh.Password(*e.Password), ssh.KeyboardInteractive(e.answer))
	}
	if socket := e.agentSocket(); socket != "" {
		connection, err := net.Dial("unix", socket)
		if err != nil {
			return nil, err
		}
		config.Auth = append(config.Auth, ssh.PublicKeysCallback(agent.NewClient(connection).Signers))
	}
	return config, nil
}

func (e *endpoint) signer() (ssh.Signer, error) {
	if e.PrivateKeyPassword != nil {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(*e.PrivateKey), []byte(*e.PrivateKeyPassword))
	}
	return ssh.ParsePrivateKey([]byte(*e.PrivateKey))
}

func (e *endpoint) answer(_, _ string, questions []string, _ []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range answers {
		answers[i] = *e.Password
	}
	return answers, nil
}

func (e *endpoint) agentSocket() string {
	if e.AgentSocketPath != nil {
		return *e.AgentSocketPath
	}
	return os.Getenv("SSH_AUTH_SOCK")
}

// dial opens the connection, through the proxy if there is one.
func (c *Connection) dial(ctx context.Context) (*ssh.Client, error) {
	config, err := c.clientConfig()
	if err != nil {
		return nil, err
	}
	if c.Proxy == nil {
		return retry(ctx, "Dial", c.dialErrorLimit(), func() (*ssh.Client, error) {
			return ssh.Dial("tcp", c.address(), config)
		})
	}
	client, err := c.dialThroughProxy(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return client, nil
}

func (c *Connection) dialThroughProxy(ctx context.Context, config *ssh.ClientConfig) (*ssh.Client, error) {
	proxyConfig, err := c.Proxy.clientConfig()
	if err != nil {
		return nil, err
	}
	proxy, err := retry(ctx, "Dial proxy", c.Proxy.dialErrorLimit(), func() (*ssh.Client, error) {
		return ssh.Dial("tcp", c.Proxy.address(), proxyConfig)
	})
	if err != nil {
		return nil, err
	}
	tunnel, err := retry(ctx, "Dial from proxy", c.dialErrorLimit(), func() (net.Conn, error) {
		return proxy.Dial("tcp", c.address())
	})
	if err != nil {
		return nil, err
	}
	// As the official plugin does it: a handshake that failed is repeated on the same tunnel, which is of no use by then.
	var channels <-chan ssh.NewChannel
	var requests <-chan *ssh.Request
	connection, err := retry(ctx, "Dial", c.dialErrorLimit(), func() (connection ssh.Conn, err error) {
		connection, channels, requests, err = ssh.NewClientConn(tunnel, c.address(), config)
		return connection, err
	})
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(connection, channels, requests), nil
}

// retry repeats an attempt until it succeeds, more than limit attempts have failed, or the engine cancels.
func retry[T any](ctx context.Context, what string, limit int, attempt func() (T, error)) (T, error) {
	shownLimit := strconv.Itoa(limit)
	if limit == unlimited {
		shownLimit = "inf"
	}
	pause := firstPause
	for failed := 1; ; failed++ {
		result, err := attempt()
		if err == nil {
			return result, nil
		}
		if limit > unlimited && failed > limit {
			return result, fmt.Errorf("after %d failed attempts: %w", failed-1, err)
		}
		p.GetLogger(ctx).InfoStatusf("%s %d/%s failed: retrying", what, failed, shownLimit)
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(lastPause, time.Duration(float64(pause)*pauseGrowth))
	}
}
